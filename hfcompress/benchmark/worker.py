"""The process that one artifact is timed in: `python -m hfcompress.benchmark.worker`.

It reads requests and writes replies, one JSON object a line, and ends when its input closes. Between requests it sleeps
in a read, and so disturbs no other worker. What libraries print goes to stderr. It imports what the artifact's runtime
needs and nothing else: for ONNX that is numpy and ONNX Runtime, so its peak memory is the artifact's own.

    {"do": "load", "path": ..., "format": ..., "task": ..., "settings": {...}} -> {"runtime", "threads"}
    {"do": "time", "inputs": FILE, "warmup": 3, "calls": 5}                                  -> {"seconds": [...]}
    {"do": "stream", "batches": [FILE, ...]}                                        -> {"seconds", "rows", "calls_s"}
    {"do": "memory"}                                                                         -> {"peak_memory_mb"}
    any of them, when it fails                                                               -> {"error": "..."}
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from hfcompress.benchmark.batches import read_batch, rows_of
from hfcompress.errors import HfcompressError, MeasurementError
from hfcompress.runtimes.base import Runtime
from hfcompress.runtimes.open import runtime_for
from hfcompress.runtimes.settings import Settings
from hfcompress.runtimes.streams import Streams

Reply = dict[str, Any]


def main() -> None:
    """Serve requests until stdin closes."""
    # Ctrl-C reaches the whole foreground group; the parent decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, replies = take_channel()
    serve(requests, replies)


def take_channel() -> tuple[IO[str], IO[str]]:
    """Keep stdin and stdout for the parent alone: reads of libraries get nothing, their prints go to stderr."""
    requests, replies = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return requests, replies


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Answer each request; return when the parent is gone."""
    worker = Worker()
    for line in requests:
        try:
            print(json.dumps(answer(worker, json.loads(line))), file=replies, flush=True)
        except BrokenPipeError:
            os._exit(1)  # the parent died: its pipe cannot be flushed at a normal exit either


def answer(worker: Worker, request: Mapping[str, Any]) -> Reply:
    """The reply to one request; a failure is a reply too."""
    fields = {name: value for name, value in request.items() if name != "do"}
    tasks: dict[str, Callable[..., Reply]] = {
        "load": worker.load,
        "time": worker.time,
        "stream": worker.stream,
        "memory": worker.memory,
    }
    try:
        return tasks[request["do"]](**fields)
    except HfcompressError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 -- whatever a runtime raises must reach the parent
        return {"error": f"{type(error).__name__}: {error}"}


class Worker:
    """One artifact, and what can be measured of it."""

    def __init__(self) -> None:
        self._loaded: Runtime | None = None
        self._streams = Streams(1)

    @property
    def _runtime(self) -> Runtime:
        if self._loaded is None:
            raise MeasurementError("the worker was asked to measure before it was told what to load")
        return self._loaded

    def load(
        self, path: str, format: str, task: str, settings: Mapping[str, Any], trust_remote_code: bool = False
    ) -> Reply:
        """Load an artifact into its runtime; `settings` are the fields of `Settings`."""
        wanted = Settings(**settings)
        self._loaded = runtime_for(
            Path(path),
            format,
            task,  # type: ignore[arg-type]
            wanted,
            trust_remote_code=trust_remote_code,
        )
        self._streams = Streams(wanted.streams)
        return {"runtime": self._runtime.name, "threads": self._runtime.threads}

    def time(self, inputs: str, warmup: int, calls: int) -> Reply:
        """Seconds of each of `calls` calls, after `warmup` that do not count."""
        batch = read_batch(Path(inputs))
        for _ in range(warmup):
            self._runtime.predict(batch)
        return {"seconds": [self._seconds_of(batch) for _ in range(calls)]}

    def stream(self, batches: list[str], hold: bool = False) -> Reply:
        """Seconds of one pass, and of each of its calls, after one call of each stream that does not count.

        One stream: the sum over its calls, reading files excluded. Several: from the first call to the end of the last.

        Args:
            batches: files.
            hold: read all files before the first call, as several streams always do; else one at a time, so that
                memory is that of one batch.
        """
        first, streams = read_batch(Path(batches[0])), self._streams
        for _ in streams.map(self._runtime.predict, [first] * streams.count):
            pass
        files: Iterable[dict[str, Any]] = (read_batch(Path(path)) for path in batches)
        if hold or streams.count > 1:
            files = list(files)
        begin = time.perf_counter()
        timed = list(streams.map(lambda batch: (self._seconds_of(batch), rows_of(batch)), files))
        wall = time.perf_counter() - begin
        calls = [seconds for seconds, _ in timed]
        seconds = wall if streams.count > 1 else sum(calls)
        return {"seconds": seconds, "rows": sum(rows for _, rows in timed), "calls_s": calls}

    def memory(self) -> Reply:
        """Peak resident memory of this process so far, in 10^6 bytes."""
        return {"peak_memory_mb": peak_memory_bytes() / 1e6}

    def _seconds_of(self, batch: Mapping[str, Any]) -> float:
        begin = time.perf_counter()
        self._runtime.predict(batch)
        return time.perf_counter() - begin


def peak_memory_bytes() -> int:
    """Peak resident memory of this process.

    From `VmHWM` on Linux. `ru_maxrss` is for elsewhere: on Linux a process starts with its parent's, which is that of a
    process that holds models and data.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
