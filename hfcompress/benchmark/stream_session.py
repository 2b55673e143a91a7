"""One artifact under many settings, each in a process of its own, on one stream batched in many ways.

Whoever asks decides who comes when: see `hfcompress.tune.race`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import numpy as np

from hfcompress.benchmark.batches import write_batches
from hfcompress.benchmark.process import Subject, WorkerProcess
from hfcompress.errors import MeasurementError
from hfcompress.host import usable_cores
from hfcompress.runtimes.settings import Settings


@dataclass(frozen=True)
class Pass:
    """One pass over a stream.

    Attributes:
        seconds: of the whole; see `Worker.stream`.
        calls_s: of each call.
    """

    seconds: float
    calls_s: tuple[float, ...]


class StreamSession:
    """A context manager, whose end ends its workers. Each holds the artifact: several streams of several threads, once
    for each stream.

    Args:
        subject: what is timed; its settings are not read.
        cores: for settings that leave their threads open.
    """

    def __init__(self, subject: Subject, cores: int) -> None:
        self._subject = subject
        self._cores = cores
        self._stack = ExitStack()
        self._numbers = count()
        self._workers: dict[Settings, WorkerProcess] = {}
        self._streams: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="hfcompress-")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for settings in list(self._workers):
            self.end(settings)
        self._stack.close()

    def add_stream(self, name: str, batches: Iterable[Mapping[str, np.ndarray]]) -> None:
        """Write the batches of a stream; one of this name is replaced."""
        self._streams[name] = [str(path) for path in write_batches(batches, self._new_folder())]

    def start(self, settings: Sequence[Settings], warmup: str) -> dict[Settings, str]:
        """Load the artifact under each of these settings, and run one stream once.

        Returns:
            Those that could not be loaded or run, with the reason.
        """
        failed: dict[Settings, str] = {}
        for begin in range(0, len(settings), usable_cores()):
            some = [each for each in settings[begin : begin + usable_cores()] if each not in self._workers]
            started = {each: self._worker(each) for each in some}
            for worker in started.values():
                worker.load(self._cores)
            for each, worker in started.items():
                try:
                    worker.receive()
                    worker.ask("stream", batches=self._streams[warmup])
                except MeasurementError as error:
                    failed[each] = str(error)
                    self.end(each)
        return failed

    def measure(self, settings: Settings, stream: str) -> Pass:
        """One pass; every batch is in memory before the clock starts.

        Raises:
            MeasurementError: the pass failed, or the worker died.
        """
        reply = self._workers[settings].ask("stream", batches=self._streams[stream], hold=True)
        return Pass(reply["seconds"], tuple(reply["calls_s"]))

    def end(self, settings: Settings) -> None:
        """End the worker of these settings, which frees its memory; nothing where there is none."""
        worker = self._workers.pop(settings, None)
        if worker is not None:
            worker.__exit__(None, None, None)

    def _worker(self, settings: Settings) -> WorkerProcess:
        folder = self._new_folder()
        folder.mkdir()
        worker = WorkerProcess(replace(self._subject, settings=settings), folder)
        self._workers[settings] = worker
        return worker

    def _new_folder(self) -> Path:
        return self._folder / str(next(self._numbers))
