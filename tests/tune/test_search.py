"""The whole search with a timer that needs no time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hfcompress.errors import InputError, MeasurementError
from hfcompress.progress import SILENT
from hfcompress.runtimes.settings import Settings
from hfcompress.tune.candidates import SINGLE, UNTUNED, Candidate, settings_for
from hfcompress.tune.options import TuneOptions
from hfcompress.tune.search import Findings, Search, StreamRows

BROKEN = Settings("openvino:CPU", 1, 1)


@dataclass
class Pass:
    seconds: float
    calls_s: Sequence[float]


class Model:
    """A machine by formula: padded tokens, a price for each call, and what threads and streams gain.

    Its clock is the one of the search.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, token_s: float = 1e-6) -> None:
        self.now, self.token_s = 0.0, token_s
        self.streams: dict[str, list[tuple[int, int]]] = {}
        self.running: set[Settings] = set()
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def add_stream(self, name: str, batches: Iterable[Mapping[str, np.ndarray]]) -> None:
        self.streams[name] = [batch["input_ids"].shape for batch in batches]  # type: ignore[misc]

    def start(self, settings: Sequence[Settings], warmup: str) -> dict[Settings, str]:
        self.now += 1.0
        self.first, self.running = settings[0], set(settings) - {BROKEN}
        return {BROKEN: "no such device"} if BROKEN in settings else {}

    def seconds(self, settings: Settings, stream: str) -> list[float]:
        assert settings.threads is not None
        cost = self.token_s / settings.threads**0.7 * (1.3 if settings.runtime != "torch" else 1.0)
        return [1e-4 + cost * rows * tokens * (1 + (rows * tokens / 3000) ** 2) for rows, tokens in
                self.streams[stream]]  # fmt: skip

    def measure(self, settings: Settings, stream: str) -> Pass:
        assert settings in self.running
        calls = self.seconds(settings, stream)
        total = sum(calls) / settings.streams**0.8
        self.now += total
        return Pass(total, calls)

    def end(self, settings: Settings) -> None:
        self.running.discard(settings)


@pytest.fixture
def rows() -> StreamRows:
    lengths = np.random.default_rng(0).integers(4, 60, 300)

    def batches(groups: Sequence[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        return ({"input_ids": np.zeros((len(group), lengths[group].max()))} for group in groups)

    return StreamRows(lengths, batches)


def search(model: Model, stream: StreamRows, cores: int = 4, **options: Any) -> Findings:
    default = Settings("torch", cores, 1)
    with SILENT.bar("", 1) as bar:
        made = Search(model, stream, default, TuneOptions(**options), bar)
        return made.run([*settings_for(("torch",), cores), BROKEN])


def test_it_finds_what_trying_everything_finds(rows: StreamRows, monkeypatch: pytest.MonkeyPatch) -> None:
    raced = search(Model(monkeypatch), rows, rows=300)
    brute = search(Model(monkeypatch), rows, exhaustive=True)
    for mine, best in ((raced.latency, brute.latency), (raced.throughput, brute.throughput)):
        assert mine.best == best.best
        assert mine.samples.seconds.keys() == best.samples.seconds.keys()
        assert {len(passes) for passes in best.samples.seconds.values()} == {7}
    assert raced.latency.best == Candidate(Settings("torch", 4, 1), SINGLE)
    assert raced.throughput.best.settings == Settings("torch", 1, 4)
    assert raced.throughput.default == Candidate(Settings("torch", 4, 1), UNTUNED)
    assert raced.left_out == {BROKEN: "no such device"}


def test_the_default_session_is_loaded_first_so_that_memory_is_not_spent_before_it(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(monkeypatch)
    search(model, rows)
    assert model.first == Settings("torch", 4, 1)
    assert settings_for(("torch",), 4)[0] != model.first


def test_winner_and_default_are_compared_in_passes_of_their_own(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search(Model(monkeypatch), rows, passes=5).throughput
    assert {len(passes) for passes in found.last.values()} == {5}
    assert {found.best, found.default} <= found.last.keys()
    assert np.median(found.last[found.default]) > 1.5 * np.median(found.last[found.best])
    assert len(found.last_calls_s[found.default]) == 5 * len(UNTUNED.groups(rows.lengths))


def test_where_nothing_is_faster_in_the_last_comparison_the_default_wins(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(monkeypatch)
    real, asked = model.seconds, [0]

    def disturbed(settings: Settings, stream: str) -> list[float]:
        """The default session is slow while the search runs, and three times as fast as everybody after it."""
        if settings == Settings("torch", 1, 1):
            return real(settings, stream)
        asked[0] += stream == str(SINGLE)
        return [value * (10 if asked[0] <= 12 else 0.1) for value in real(settings, stream)]

    monkeypatch.setattr(model, "seconds", disturbed)
    found = search(model, rows, cores=2).latency
    assert found.samples.best == Candidate(Settings("torch", 1, 1), SINGLE)
    assert found.best == found.default == Candidate(Settings("torch", 2, 1), SINGLE)


def test_workers_of_settings_that_lost_are_ended_and_those_still_needed_are_not(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(monkeypatch)
    found = search(model, rows, cores=16)
    needed = {each.settings for each in (*found.latency.last, *found.throughput.last)}
    assert needed <= model.running
    assert len(model.running) < len(settings_for(("torch",), 16))


def test_the_search_ends_with_its_budget(rows: StreamRows, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(monkeypatch, token_s=1e-4)
    found = search(model, rows, budget_s=60)
    assert model.now < 66
    assert len(found.rows.lengths) < 300  # so that everybody has a turn
    assert not found.throughput.samples.left_out


def test_rows_that_the_user_asked_for_are_not_cut(rows: StreamRows, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(search(Model(monkeypatch, token_s=1e-4), rows, budget_s=60, rows=300).rows.lengths) == 300


def test_a_budget_that_does_not_reach_for_one_pass_of_each_says_what_would(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"a budget of 5 s is too small: loading takes 1 s, .* give a budget of \d+ s"):
        search(Model(monkeypatch, token_s=1e-3), rows, budget_s=5)


def test_a_default_session_that_cannot_be_loaded_is_an_error(rows: StreamRows, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(MeasurementError, match="the default session cannot run it: no such device"),
        SILENT.bar("", 1) as bar,
    ):
        Search(Model(monkeypatch), rows, BROKEN, TuneOptions(), bar).run([BROKEN])


def test_fewer_rows_are_spread_over_all_and_keep_their_own_lengths(rows: StreamRows) -> None:
    few = rows.thinned(40)
    assert few.lengths.tolist() == rows.lengths[np.linspace(0, 299, 40).round().astype(int)].tolist()
    widths = [batch["input_ids"].shape for batch in few.batches(UNTUNED.groups(few.lengths))]
    assert widths == [(32, few.lengths[:32].max()), (8, few.lengths[32:].max())]
    assert len(rows.thinned(1000).lengths) == 300
