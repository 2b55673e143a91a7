"""How a command speaks: bars and logs on stderr, tables on stdout; or one JSON object a line; or not at all."""

from __future__ import annotations

import io
import os
import sys
import time
from contextlib import ExitStack, redirect_stdout, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from rich.console import Console

from hfcompress.cli.bars import Clock, JsonProgress, LineProgress, TerminalProgress
from hfcompress.cli.logs import configure_logging, reset_logging, silence_library_bars
from hfcompress.progress import SILENT, Progress

if TYPE_CHECKING:
    from hfcompress.results import Results

__all__ = ["Session", "configure_logging", "make_progress"]

Format = Literal["human", "json", "quiet"]

#: Of tables that go into a file or a pipe, where nobody's window is too narrow.
_PIPED_WIDTH = 160


def make_progress(format: Format, console: Console | None = None, clock: Clock = time.monotonic) -> Progress:
    """Progress in one of the formats.

    `human` draws bars where the console is a terminal that can move its cursor, and plain lines elsewhere. `json`
    writes objects with the key `event`: `progress` (`description`, `done`, `total`, `elapsed_s`, `remaining_s`, `note`;
    at most one a second and bar, beside the first and the last) and `say` (`text`). `quiet` says nothing.

    Args:
        format: for whom.
        console: where to; default: stderr for people, stdout for programs.
        clock: seconds that only grow.
    """
    match format:
        case "human":
            console = console or Console(stderr=True, highlight=False)
            return TerminalProgress(console, clock) if is_live(console) else LineProgress(console, clock)
        case "json":
            # Bound to the stdout of now: see `Session`.
            return JsonProgress(console or Console(file=sys.stdout), clock)
        case "quiet":
            return SILENT


def is_live(console: Console) -> bool:
    """Whether bars can move. FORCE_COLOR makes rich call a file a terminal: colours are welcome there, bars are not."""
    return console.file.isatty() and not console.is_dumb_terminal


class Session:
    """One command's voice: `with Session("human") as session: work(session.progress)`, then `session.show(results)`.

    Within the block, logs go through the same console as the progress, and what a library prints to stdout goes to
    stderr: stdout is for tables and objects.
    """

    def __init__(self, format: Format) -> None:
        self.format = format
        self.console = Console(stderr=True, highlight=False)
        self.progress = make_progress(format, self.console if format == "human" else None)
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        silence_library_bars(downloads=self.format != "human" or not is_live(self.console))
        configure_logging("quiet" if self.format == "quiet" else "normal", self.console)
        self._undo.callback(reset_logging)
        self._undo.enter_context(redirect_stdout(io.StringIO() if self.format == "quiet" else sys.stderr))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def show(self, results: Results, folder: Path | None = None) -> None:
        """The results: tables on stdout, or one object with the event `results`, or nothing.

        Args:
            results: what was measured.
            folder: where report and plot lie, if anywhere.
        """
        if self.format == "human":
            from hfcompress.report.terminal import render

            render(results, stdout_console())
            if folder is not None:
                self.console.print(f"\nReport, plot and results are in {folder}", markup=False, soft_wrap=True)
        else:
            self.emit("results", results=results.model_dump(mode="json", by_alias=True))

    def emit(self, event: str, **fields: object) -> None:
        """One object on stdout where the format is `json`; nothing elsewhere."""
        if isinstance(self.progress, JsonProgress):
            self.progress.emit(event, **fields)


def stdout_console() -> Console:
    """For tables: as wide as the terminal; wide where there is none, unless COLUMNS says how wide."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return _TableConsole(highlight=False, width=None if narrow else _PIPED_WIDTH)


class _TableConsole(Console):
    """Ends in silence when its reader goes (`| head`): the exit code stays that of the work."""

    def on_broken_pipe(self) -> None:
        with suppress(SystemExit):
            super().on_broken_pipe()
