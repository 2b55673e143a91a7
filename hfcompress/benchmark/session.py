"""One timing session over several artifacts: each in its own process, in turns, so that noise hurts all alike.

ONNX Runtime and OpenMP keep threads spinning, and in one process they slow each other down by a factor of four
(measured: 33 ms instead of 7.5 for a torch linear layer beside an idle ONNX Runtime session). In processes of their
own, asleep in a read while another one works, they do not meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hfcompress.benchmark.batches import write_batch, write_batches
from hfcompress.benchmark.process import Subject, WorkerProcess
from hfcompress.benchmark.timings import Shape, Timings
from hfcompress.errors import MeasurementError
from hfcompress.host import default_threads, usable_cores
from hfcompress.progress import SILENT, Bar, Progress
from hfcompress.recipe.data import BenchmarkConfig

__all__ = ["Cell", "Subject", "Timings", "order_of_round", "time_interleaved"]

#: Timed calls of one turn. Each turn begins with a call that does not count: while others worked, this worker's threads
#: fell asleep and its weights left the caches.
CALLS_PER_TURN = 5


@dataclass(frozen=True)
class Cell:
    """One shape of the latency grid, with inputs of that shape; `sequence` is None for images."""

    batch: int
    sequence: int | None
    inputs: Mapping[str, np.ndarray]

    @property
    def shape(self) -> Shape:
        """Its key in `Timings.latency_s`."""
        return self.batch, self.sequence

    def __str__(self) -> str:
        return str(self.batch) if self.sequence is None else f"{self.batch}x{self.sequence}"


def time_interleaved(
    subjects: Sequence[Subject],
    cells: Sequence[Cell],
    stream: Sequence[Mapping[str, np.ndarray]],
    config: BenchmarkConfig,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Timings]:
    """Time every subject on every cell and on the stream, in turns of a few calls.

    All workers live until the end, since turns need them: the session holds every artifact in memory at once. For a
    model of 91 MB that was 700 MB in torch, 240 in ONNX Runtime and 150 as INT8 (their `peak_memory_mb`).

    Args:
        subjects: what is timed; their names differ.
        cells: the latency grid.
        stream: batches as they come from the data, in order.
        config: repeats, warm-up and passes; its grid is not read, as `cells` hold it.
        threads: cores of one call; default: `config.threads`, or all that this process may use.
        progress: sees one bar over all timed calls and passes.

    Returns:
        Subject's name -> its samples.

    Raises:
        MeasurementError: a subject could not be loaded or run, or its worker died; names it. Or: two have one name,
            nothing is given to time, or the stream has no batch.
    """
    _check(subjects, stream)
    cores = threads or config.threads or default_threads()
    steps = len(subjects) * (1 + len(cells) * config.repeats + config.stream.passes)
    with TemporaryDirectory(prefix="hfcompress-") as name, ExitStack() as stack, progress.bar("timing", steps) as bar:
        folder = Path(name)
        grid = [(cell, write_batch(cell.inputs, folder / f"cell-{cell}.npz")) for cell in cells]
        batches = [str(path) for path in write_batches(stream, folder / "stream")]
        workers = [stack.enter_context(WorkerProcess(subject, folder)) for subject in subjects]
        seats = _load(workers, batches, cores, bar)
        _time_cells(seats, grid, config, bar)
        _time_stream(seats, batches, config.stream.passes, bar)
        return {seat.worker.subject.name: seat.timings() for seat in seats}


def order_of_round(count: int, turn: int) -> list[int]:
    """Who comes when in a round: a permutation of 0..count-1 in which everybody follows everybody equally often.

    That is so over each 2 x count rounds (Williams, 1949: Latin squares balanced for carry-over), so that no artifact
    always finds the caches, or the heat, that the same other one left.
    """
    zigzag = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(count)]
    order = [(place + turn) % count for place in zigzag]
    return order if turn // count % 2 == 0 else order[::-1]


@dataclass
class _Seat:
    """A worker with the samples that it gave so far."""

    worker: WorkerProcess
    runtime: str
    threads: int
    rows: int
    peak_memory_mb: float
    latency: dict[Shape, list[float]] = field(default_factory=dict)
    stream: list[float] = field(default_factory=list)

    def timings(self) -> Timings:
        return Timings(self.latency, self.stream, self.rows, self.peak_memory_mb, self.runtime, self.threads)


def _check(subjects: Sequence[Subject], stream: Sequence[Mapping[str, np.ndarray]]) -> None:
    names = [subject.name for subject in subjects]
    if len(set(names)) < len(names):
        raise MeasurementError(f"two artifacts of one session have the same name: {', '.join(sorted(names))}")
    if not names or not stream:
        raise MeasurementError(f"nothing to time: {len(names)} artifacts, {len(stream)} batches in the stream")


def _load(workers: Sequence[WorkerProcess], batches: list[str], threads: int, bar: Bar) -> list[_Seat]:
    """Load every artifact and run the stream once, for peak memory and as warm-up.

    As many at a time as there are cores: most of it is importing, which uses one core and is not timed. Peak memory is
    read here, before the latency grid, whose shapes may need more than the stream does.
    """
    seats: list[_Seat] = []
    for start in range(0, len(workers), usable_cores()):
        some = workers[start : start + usable_cores()]
        for worker in some:
            worker.load(threads)
        loaded = [worker.receive() for worker in some]
        for worker in some:
            worker.send("stream", batches=batches)
        for worker, about in zip(some, loaded, strict=True):
            rows = worker.receive()["rows"]
            seats.append(_Seat(worker, **about, rows=rows, **worker.ask("memory")))
            bar.advance(1, f"{worker.subject.name}: loaded")
    return seats


def _time_cells(seats: list[_Seat], grid: Sequence[tuple[Cell, Path]], config: BenchmarkConfig, bar: Bar) -> None:
    """Round by round over all cells, so that a noisy minute touches few samples of each cell instead of all of one."""
    turn = 0
    for first, calls in _turns(config.repeats):
        for cell, path in grid:
            for index in order_of_round(len(seats), turn):
                seat = seats[index]
                warmup = config.warmup if first else 1
                reply = seat.worker.ask("time", inputs=str(path), warmup=warmup, calls=calls)
                seat.latency.setdefault(cell.shape, []).extend(reply["seconds"])
                bar.advance(calls, f"{seat.worker.subject.name}: {cell}")
            turn += 1


def _turns(repeats: int) -> Iterator[tuple[bool, int]]:
    """Whether a turn is the first one, and how many calls it counts; together they are `repeats`."""
    for start in range(0, repeats, CALLS_PER_TURN):
        yield start == 0, min(CALLS_PER_TURN, repeats - start)


def _time_stream(seats: list[_Seat], batches: list[str], passes: int, bar: Bar) -> None:
    for turn in range(passes):
        for index in order_of_round(len(seats), turn):
            seat = seats[index]
            seat.stream.append(seat.worker.ask("stream", batches=batches)["seconds"])
            bar.advance(1, f"{seat.worker.subject.name}: stream")
