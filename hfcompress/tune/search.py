"""Two searches over one set of workers: for single rows, one call after another, and for many rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hfcompress.errors import InputError, MeasurementError
from hfcompress.progress import Bar
from hfcompress.runtimes.batching import Batching
from hfcompress.runtimes.settings import Settings
from hfcompress.tune.candidates import SINGLE, UNTUNED, Candidate, batchings_for
from hfcompress.tune.options import TuneOptions
from hfcompress.tune.race import FINALISTS, Samples, every, race

#: Shares of what loading leaves of the budget: when the search for latency has to end, and the one for throughput; the
#: rest is for the last comparison. And what one pass of everybody may take, so that the good ones get several.
_LATENCY_SHARE, _SEARCH_SHARE, _FIRST_RUNG_SHARE = 0.25, 0.85, 0.35
#: A budget does not cut a stream below so many rows: their lengths would not be those of the data.
_FEWEST_ROWS = 128
#: What an average pass of the first rung takes, in passes over sorted batches by the default session.
_AVERAGE_PASS = 1.2
_WARMUP = Batching(rows=32)


class Pass(Protocol):
    """One pass over a stream: its seconds, and those of each of its calls."""

    @property
    def seconds(self) -> float: ...

    @property
    def calls_s(self) -> Sequence[float]: ...


class Timer(Protocol):
    """What measures: `hfcompress.benchmark.stream_session.StreamSession`."""

    def add_stream(self, name: str, batches: Iterable[Mapping[str, np.ndarray]]) -> None: ...

    def start(self, settings: Sequence[Settings], warmup: str) -> dict[Settings, str]: ...

    def measure(self, settings: Settings, stream: str) -> Pass: ...

    def end(self, settings: Settings) -> None: ...


@dataclass(frozen=True)
class StreamRows:
    """The rows that are run.

    Attributes:
        lengths: tokens of each row, in the order of arrival; ones where rows have no length.
        batches: groups of places -> their batches.
    """

    lengths: np.ndarray
    batches: Callable[[Sequence[np.ndarray]], Iterable[Mapping[str, np.ndarray]]]

    def thinned(self, count: int) -> StreamRows:
        """So many of them, evenly spread: data may be in an order."""
        places = np.linspace(0, len(self.lengths) - 1, min(count, len(self.lengths))).round().astype(np.int64)
        return StreamRows(self.lengths[places], lambda groups: self.batches([places[group] for group in groups]))


@dataclass
class Found:
    """What one search found.

    Attributes:
        samples: seconds of each pass of everybody, in the search.
        calls_s: of each call of all these passes.
        default: the session that nobody has tuned.
        last: seconds of each pass of the finalists and the default in the comparison after the search, in which pass i
            of all of them ran in one round.
        last_calls_s: of each call of these.
    """

    samples: Samples[Candidate]
    calls_s: dict[Candidate, list[float]]
    default: Candidate
    last: dict[Candidate, list[float]] = field(default_factory=dict)
    last_calls_s: dict[Candidate, list[float]] = field(default_factory=dict)

    @property
    def best(self) -> Candidate:
        """The fastest of the last comparison: the default itself, where nothing was faster.

        Chosen by the passes that it is then judged by, so that its lead is a little high.
        """
        return min(self.last, key=lambda candidate: float(np.median(self.last[candidate])))


@dataclass
class Findings:
    """Both searches, the rows that they ran on, and the settings that could not be loaded."""

    latency: Found
    throughput: Found
    rows: StreamRows
    left_out: dict[Settings, str]


class Search:
    """One search with its clock.

    Args:
        timer: measures.
        rows: what is run.
        default: the settings that nobody has tuned.
        options: the bounds.
        bar: sees the seconds.
    """

    def __init__(self, timer: Timer, rows: StreamRows, default: Settings, options: TuneOptions, bar: Bar) -> None:
        self._timer, self._rows, self._default, self._options, self._bar = timer, rows, default, options, bar
        self._begin, self._ready_s, self._shown = time.monotonic(), 0.0, 0
        self._calls_s: dict[Candidate, list[float]] = {}

    def run(self, settings: Sequence[Settings]) -> Findings:
        """Search among these settings, the default ones among them.

        Raises:
            InputError: the budget is too small for a first look at everybody.
            MeasurementError: the default session could not be measured.
        """
        left_out = self._load(settings)
        usable = [each for each in settings if each not in left_out]
        batchings = batchings_for(self._rows.lengths)
        self._fit_budget(len(usable) * len(batchings))
        self._add_streams([*batchings, SINGLE])
        self._ready_s = self._elapsed()
        latency = self._search([Candidate(each, SINGLE) for each in usable if each.streams == 1], _LATENCY_SHARE)
        kept = {self._default, *(each.settings for each in latency.samples.finalists)}
        candidates = [Candidate(each, batching) for batching in batchings for each in usable]
        throughput = self._search(candidates, _SEARCH_SHARE, kept)
        for found in (latency, throughput):
            self._compare(found)
        return Findings(latency, throughput, self._rows, left_out)

    def _load(self, settings: Sequence[Settings]) -> dict[Settings, str]:
        small = self._rows.thinned(_FEWEST_ROWS)
        self._timer.add_stream("warm-up", small.batches(_WARMUP.groups(small.lengths)))
        # The default first, which is loaded in any case, and is what all others are compared with.
        left_out = self._timer.start(list(dict.fromkeys([self._default, *settings])), "warm-up")
        if self._default in left_out:
            raise MeasurementError(f"the default session cannot run it: {left_out[self._default]}")
        self._tick("loaded")
        return left_out

    def _fit_budget(self, combinations: int) -> None:
        """Cut the rows to what the first rung can run, unless the user said how many."""
        if self._options.exhaustive:
            return
        few, loading_s = min(_FEWEST_ROWS, len(self._rows.lengths)), self._elapsed()
        # The fastest of three: a hiccup here would cut the rows of the whole search.
        pass_s = min(self._timer.measure(self._default, "warm-up").seconds for _ in range(3))
        row_s = _AVERAGE_PASS * pass_s / few * combinations
        left = self._options.budget_s - self._elapsed()
        if few * row_s > left:
            raise InputError(
                f"a budget of {self._options.budget_s:g} s is too small: loading takes {loading_s:.0f} s, and one pass "
                f"of each of {combinations} combinations over {few} rows about {few * row_s:.0f} s; give a budget of "
                f"{self._elapsed() + few * row_s / _FIRST_RUNG_SHARE:.0f} s, or fewer threads"
            )
        fitting = int(_FIRST_RUNG_SHARE * left / row_s)
        if self._options.rows is None and fitting < len(self._rows.lengths):
            self._rows = self._rows.thinned(max(few, fitting))

    def _add_streams(self, batchings: Sequence[Batching]) -> None:
        for batching in batchings:
            self._timer.add_stream(str(batching), self._rows.batches(batching.groups(self._rows.lengths)))
            self._tick("streams")

    def _search(self, candidates: Sequence[Candidate], share: float, kept: set[Settings] | None = None) -> Found:
        """The best of some candidates; ends workers that nobody needs any more, but those of `kept`."""
        if self._options.exhaustive:
            samples = every(candidates, self._measure, self._options.passes)
        else:
            alive = list(candidates)

            def dropped(candidate: Candidate) -> None:
                alive.remove(candidate)
                settings = candidate.settings
                if kept is not None and settings not in kept and all(each.settings != settings for each in alive):
                    self._timer.end(settings)

            limit = self._ready_s + share * (self._options.budget_s - self._ready_s)
            samples = race(candidates, self._measure, lambda: self._elapsed() > limit, dropped)
        samples.finalists = sorted(samples.finalists, key=samples.median)[:FINALISTS]
        batching = UNTUNED if Candidate(self._default, UNTUNED) in candidates else SINGLE
        calls_s, self._calls_s = self._calls_s, {}
        return Found(samples, calls_s, Candidate(self._default, batching))

    def _compare(self, found: Found) -> None:
        """The finalists and the default session in turns: what a search measured last was measured most often, and what
        it measured in a quiet minute looks fast."""
        contenders = list(dict.fromkeys((*found.samples.finalists, found.default)))
        compared = every(contenders, self._measure, self._options.passes)
        if found.default in compared.left_out:
            raise MeasurementError(compared.left_out[found.default])
        found.last = {each: compared.seconds[each] for each in compared.finalists}
        found.last_calls_s, self._calls_s = self._calls_s, {}

    def _measure(self, candidate: Candidate) -> float:
        done = self._timer.measure(candidate.settings, str(candidate.batching))
        self._calls_s.setdefault(candidate, []).extend(done.calls_s)
        self._tick(str(candidate))
        return done.seconds

    def _elapsed(self) -> float:
        return time.monotonic() - self._begin

    def _tick(self, note: str) -> None:
        seconds = int(self._elapsed())
        self._bar.advance(seconds - self._shown, note)
        self._shown = seconds
