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

from hfcompress.artifact import model_bytes
from hfcompress.benchmark.batches import write_batches
from hfcompress.benchmark.process import Subject, WorkerProcess
from hfcompress.errors import MeasurementError
from hfcompress.host import available_bytes, usable_cores
from hfcompress.runtimes.settings import Settings

#: Bytes of a worker before its model, by the library that it imports, and of what each stream computes with besides a
#: copy of the model. Measured with ONNX Runtime 1.32 (110 MB, 30 to 55 a stream), OpenVINO 2026.4 (160) and torch 2.13
#: (490), batches of 32 rows of 64 tokens.
_LIBRARY_BYTES, _TORCH_BYTES, _STREAM_BYTES = 130_000_000, 500_000_000, 50_000_000
#: Of what is free; the rest is for what is larger than guessed.
_SHARE = 0.8


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

        Args:
            settings: the first is loaded in any case, the others as far as memory is free.
            warmup: the stream.

        Returns:
            Those that could not be loaded or run, with the reason.
        """
        new = [each for each in settings if each not in self._workers]
        failed = beyond_memory(new, self._subject.format, model_bytes(self._subject.path), available_bytes())
        fitting = [each for each in new if each not in failed]
        for begin in range(0, len(fitting), usable_cores()):
            some = fitting[begin : begin + usable_cores()]
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


def beyond_memory(settings: Sequence[Settings], format: str, size: int, free: int) -> dict[Settings, str]:
    """Settings whose workers cannot live side by side with the others, with the reason. The first one always can.

    Those that take least are kept, so that as many as possible are. Sizes are guesses: see `_STREAM_BYTES`.

    Args:
        settings: each of a worker of its own.
        format: of the model.
        size: of the model, in bytes.
        free: memory, in bytes.
    """
    base = _TORCH_BYTES if format == "torch" else _LIBRARY_BYTES
    need = {each: base + _copies(each) * size + each.streams * _STREAM_BYTES for each in settings}
    left, beyond = _SHARE * free, {}
    for each in [*settings[:1], *sorted(settings[1:], key=lambda each: need[each])]:
        if need[each] > left and each != settings[0]:
            beyond[each] = (
                f"it takes about {need[each] / 1e9:.1f} GB ({_copies(each)} x {size / 1e6:.0f} MB of the model), and "
                f"{max(0.0, left) / 1e9:.1f} of {free / 1e9:.1f} GB of free memory are left beside the others"
            )
        else:
            left -= need[each]
    return beyond


def _copies(settings: Settings) -> int:
    """How often a worker holds the model: ONNX Runtime's CPU provider once for each stream of several threads."""
    name, _, provider = (settings.runtime or "").partition(":")
    shared = name != "onnxruntime" or provider not in ("", "CPUExecutionProvider") or settings.threads == 1
    return 1 if shared else settings.streams
