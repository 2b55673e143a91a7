"""A session times artifacts in turns, counts what it should, and leaves no process behind."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from hfcompress.benchmark import session
from hfcompress.benchmark.process import WorkerProcess
from hfcompress.benchmark.session import Cell, Subject, Timings, order_of_round, time_interleaved
from hfcompress.errors import MeasurementError
from hfcompress.recipe.data import BenchmarkConfig, StreamConfig

MakeBatch = Callable[[int, int], dict[str, np.ndarray]]
CONFIG = BenchmarkConfig(repeats=12, warmup=2, stream=StreamConfig(passes=4))
needs_onnx = pytest.mark.export


class Recorder:
    """A progress that remembers its steps and notes, and may do something at each."""

    def __init__(self, then: Callable[[str], None] = lambda note: None) -> None:
        self.notes: list[tuple[int, str]] = []
        self.total = 0
        self._then = then

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Recorder]:
        self.total = total
        yield self

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.notes.append((steps, note))
        self._then(note)

    def say(self, line: str) -> None:
        pass


def workers_now() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "hfcompress.benchmark.worker" in child.cmdline()]


@pytest.fixture
def cells(make_batch: MakeBatch) -> list[Cell]:
    return [Cell(1, 8, make_batch(1, 8)), Cell(4, 16, make_batch(4, 16))]


@pytest.fixture
def stream(make_batch: MakeBatch) -> list[dict[str, np.ndarray]]:
    return [make_batch(4, 6), make_batch(4, 9), make_batch(2, 12)]


@pytest.mark.parametrize("count", range(1, 8))
def test_everybody_follows_everybody_equally_often(count: int) -> None:
    pairs: Counter[tuple[int, int]] = Counter()
    for turn in range(2 * count):
        order = order_of_round(count, turn)
        assert sorted(order) == list(range(count))
        pairs.update(pairwise(order))
    assert len(pairs) == count * (count - 1)
    assert len(set(pairs.values())) <= 1


@needs_onnx
def test_samples_rows_and_names_are_those_asked_for(
    onnx_subject: Callable[..., Subject], cells: list[Cell], stream: list[dict[str, np.ndarray]]
) -> None:
    small, large = onnx_subject("small"), onnx_subject("large", layers=60)
    found = time_interleaved([small, large], cells, stream, CONFIG, threads=1)
    assert list(found) == ["small", "large"]
    for timings in found.values():
        assert {shape: len(seconds) for shape, seconds in timings.latency_s.items()} == {(1, 8): 12, (4, 16): 12}
        assert (len(timings.stream_s), timings.stream_rows) == (4, 10)
        assert (timings.runtime, timings.threads) == ("onnxruntime:CPUExecutionProvider", 1)
        assert 20 < timings.peak_memory_mb < 300
        assert np.isfinite([*timings.latency_s[1, 8], *timings.latency_s[4, 16], *timings.stream_s]).all()
    assert np.median(found["large"].latency_s[4, 16]) > 2 * np.median(found["small"].latency_s[4, 16])
    assert not workers_now()


def test_a_torch_artifact_is_timed_too(
    torch_subject: Subject, cells: list[Cell], stream: list[dict[str, np.ndarray]]
) -> None:
    config = BenchmarkConfig(repeats=5, warmup=1, stream=StreamConfig(passes=3))
    timings = time_interleaved([torch_subject], cells[:1], stream, config, threads=1)["tiny-bert"]
    assert (timings.runtime, timings.threads, timings.stream_rows) == ("torch", 1, 10)
    assert len(timings.latency_s[1, 8]) == 5
    assert timings.peak_memory_mb > 100  # torch itself


@needs_onnx
def test_artifacts_take_turns_and_the_bar_counts_all_calls(
    onnx_subject: Callable[..., Subject], cells: list[Cell], stream: list[dict[str, np.ndarray]]
) -> None:
    recorder = Recorder()
    time_interleaved([onnx_subject("a"), onnx_subject("b")], cells, stream, CONFIG, 1, recorder)
    assert sum(steps for steps, _ in recorder.notes) == recorder.total == 2 * (1 + 2 * 12 + 4)
    turns = [(steps, note) for steps, note in recorder.notes if note.endswith("1x8")]
    assert [steps for steps, _ in turns] == [5, 5, 5, 5, 2, 2]
    rounds = [{note for _, note in turns[start : start + 2]} for start in (0, 2, 4)]
    assert rounds == [{"a: 1x8", "b: 1x8"}] * 3
    firsts = Counter(note for _, note in [note for note in recorder.notes if "stream" in note[1]][::2])
    assert firsts == {"a: stream": 2, "b: stream": 2}


@needs_onnx
def test_warm_up_is_asked_for_before_each_cell_and_a_call_before_each_turn(
    onnx_subject: Callable[..., Subject],
    cells: list[Cell],
    stream: list[dict[str, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warmups: list[int] = []
    real = WorkerProcess.send

    def watched(worker: WorkerProcess, do: str, **fields: Any) -> None:
        if do == "time":
            warmups.append(fields["warmup"])
        real(worker, do, **fields)

    monkeypatch.setattr(WorkerProcess, "send", watched)
    time_interleaved([onnx_subject("a")], cells, stream, CONFIG, threads=1)
    assert warmups == [2, 2, 1, 1, 1, 1]


@needs_onnx
def test_more_artifacts_than_cores_are_loaded_in_groups(
    onnx_subject: Callable[..., Subject], stream: list[dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "usable_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    names = ["a", "b", "c"]
    found = time_interleaved([onnx_subject(name) for name in names], [], stream, CONFIG)
    assert list(found) == names
    assert {timings.threads for timings in found.values()} == {2}


@needs_onnx
def test_a_worker_killed_in_the_middle_names_its_artifact_and_leaves_no_other(
    onnx_subject: Callable[..., Subject],
    cells: list[Cell],
    stream: list[dict[str, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pids: dict[str, int] = {}

    class Known(WorkerProcess):
        def __init__(self, subject: Subject, folder: Path) -> None:
            super().__init__(subject, folder)
            pids[subject.name] = self.pid

    def kill_b(note: str) -> None:
        if note == "a: 4x16":
            os.kill(pids["b"], signal.SIGKILL)

    monkeypatch.setattr(session, "WorkerProcess", Known)
    with pytest.raises(MeasurementError, match="`b` could not be measured: its worker was killed by SIGKILL"):
        time_interleaved([onnx_subject("a"), onnx_subject("b")], cells, stream, CONFIG, 1, Recorder(kill_b))
    assert not workers_now()


@needs_onnx
def test_an_interrupt_leaves_no_worker(
    onnx_subject: Callable[..., Subject], cells: list[Cell], stream: list[dict[str, np.ndarray]]
) -> None:
    def interrupt(note: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        time_interleaved([onnx_subject("a"), onnx_subject("b")], cells, stream, CONFIG, 1, Recorder(interrupt))
    assert not workers_now()


@needs_onnx
def test_an_artifact_that_cannot_be_loaded_stops_the_session_with_its_name(
    onnx_subject: Callable[..., Subject], stream: list[dict[str, np.ndarray]]
) -> None:
    subject = onnx_subject("a")
    absent = replace(subject, name="b", path=subject.path / "absent")
    with pytest.raises(MeasurementError, match=r"`b` could not be measured: .*does not exist"):
        time_interleaved([subject, absent], [], stream, CONFIG)
    assert not workers_now()


def test_two_artifacts_of_one_name_are_refused(stream: list[dict[str, np.ndarray]]) -> None:
    subject = Subject("int8", Path("absent"), "onnx", "text-classification")
    with pytest.raises(MeasurementError, match="same name: int8, int8"):
        time_interleaved([subject, subject], [], stream, CONFIG)


def test_an_empty_stream_is_refused() -> None:
    with pytest.raises(MeasurementError, match="1 artifacts, 0 batches"):
        time_interleaved([Subject("int8", Path("absent"), "onnx", "text-classification")], [], [], CONFIG)


def test_timings_survive_json() -> None:
    timings = Timings({(1, 16): [0.1, 0.2], (32, None): [0.3]}, [1.5, 1.25], 512, 123.4, "torch", 2)
    assert Timings.from_json(json.loads(json.dumps(timings.to_json()))) == timings
