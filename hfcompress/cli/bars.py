"""Bars for people at a terminal, plain lines for logs, JSON objects for programs. See `hfcompress.progress`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from hfcompress.cli.logs import adopt_library_logs
from hfcompress.progress import Bar
from hfcompress.report.figures import duration

Clock = Callable[[], float]

_LINE_EVERY_S = 10.0
_OBJECT_EVERY_S = 1.0


@dataclass
class Pace:
    """How far one piece of work is, and when it will be done.

    The first report does not count towards the pace: a resumed training begins with all steps of before.
    """

    description: str
    total: int
    clock: Clock
    done: int = 0
    note: str = ""
    began: float = field(init=False)
    _counted_from: tuple[float, int] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def advance(self, steps: int, note: str) -> None:
        """`steps` more are done."""
        self.done += steps
        self.note = note or self.note
        if self._counted_from is None:
            self._counted_from = (self.clock(), self.done)

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return self.clock() - self.began

    @property
    def remaining_s(self) -> float | None:
        """Seconds to go at the pace so far; None while there is no pace."""
        if self._counted_from is None:
            return None
        since, before = self._counted_from
        steps, seconds = self.done - before, self.clock() - since
        return None if steps <= 0 or seconds <= 0 else max(0, self.total - self.done) * seconds / steps

    @property
    def ending(self) -> str:
        """The line that stays when it is over."""
        took = f"in {duration(self.elapsed_s)}" + (f", {self.note}" if self.note else "")
        if self.done >= self.total:
            return f"{self.description}: {self.total:,} {took}"
        return f"{self.description}: ended at {self.done:,} of {self.total:,} {took}"


@dataclass
class _Reporter:
    """A bar that only counts, and tells its listener after each step."""

    pace: Pace
    listen: Callable[[Pace], None]

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.pace.advance(steps, note)
        self.listen(self.pace)


class _Remaining(ProgressColumn):
    def render(self, task: Task) -> Text:
        remaining = task.fields["pace"].remaining_s
        return Text("" if remaining is None else f"{duration(remaining)} left", style="cyan")


class _Elapsed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(duration(task.fields["pace"].elapsed_s), style="dim")


class TerminalProgress:
    """Live bars; each leaves one line with its duration. Nothing is live while no bar is open."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self.console = console
        self.clock = clock
        self._live: RichProgress | None = None

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        adopt_library_logs()
        pace = Pace(description, total, self.clock)
        opened_here = self._live is None
        live = self._live = self._live or self._new_live()
        live.start()
        task = live.add_task(description, total=max(total, 1), pace=pace)
        try:
            yield _Reporter(pace, lambda pace: live.update(task, completed=pace.done))
        finally:
            live.remove_task(task)
            if opened_here:
                live.stop()
                self._live = None
            self.say(pace.ending)

    def say(self, line: str) -> None:
        self.console.print(Text(line))

    def _new_live(self) -> RichProgress:
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=max(8, min(40, self.console.width - 80))),
            TextColumn("{task.fields[pace].done:,}/{task.fields[pace].total:,}"),
            _Elapsed(),
            _Remaining(),
            TextColumn("{task.fields[pace].note}", markup=False, style="dim"),
        ]
        return RichProgress(*columns, console=self.console, transient=True, refresh_per_second=4)


class LineProgress:
    """Plain lines for logs and dumb terminals: one every ten seconds a bar, and a last one."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self.console = console
        self.clock = clock

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        adopt_library_logs()
        pace = Pace(description, total, self.clock)
        try:
            yield _Reporter(pace, _throttled(self._tell, self.clock, _LINE_EVERY_S, pace.began))
        finally:
            self.say(pace.ending)

    def say(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)

    def _tell(self, pace: Pace) -> None:
        share = pace.done / pace.total if pace.total else 1.0
        remaining = "" if pace.remaining_s is None else f", {duration(pace.remaining_s)} left"
        note = f", {pace.note}" if pace.note else ""
        self.say(f"{pace.description}: {share:.0%}, {pace.done:,} of {pace.total:,}{remaining}{note}")


class JsonProgress:
    """One JSON object a line, on stdout: for programs that watch."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self.console = console
        self.clock = clock

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        adopt_library_logs()
        pace = Pace(description, total, self.clock)
        self._tell(pace)
        try:
            yield _Reporter(pace, _throttled(self._tell, self.clock, _OBJECT_EVERY_S, pace.began))
        finally:
            self._tell(pace)

    def say(self, line: str) -> None:
        self.emit("say", text=line)

    def emit(self, event: str, **fields: Any) -> None:
        """Write one object at once."""
        self.console.file.write(json.dumps({"event": event, **fields}, ensure_ascii=False, allow_nan=False) + "\n")
        self.console.file.flush()

    def _tell(self, pace: Pace) -> None:
        remaining = pace.remaining_s
        self.emit(
            "progress",
            description=pace.description,
            done=pace.done,
            total=pace.total,
            elapsed_s=round(pace.elapsed_s, 3),
            remaining_s=None if remaining is None else round(remaining, 3),
            note=pace.note,
        )


def _throttled(tell: Callable[[Pace], None], clock: Clock, every_s: float, last: float) -> Callable[[Pace], None]:
    """`tell`, but at most every so many seconds, and not for the last step, which has its own line."""

    def maybe(pace: Pace) -> None:
        nonlocal last
        if clock() - last >= every_s and pace.done < pace.total:
            last = clock()
            tell(pace)

    return maybe
