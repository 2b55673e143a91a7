"""Both models in turns on the same batches: as they are, for the time of a pass; then profiled, for that of nodes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.flow import Flow
from hfcompress.onnx_graph.layers import restore_names_
from hfcompress.profiling.profile import calls_in, node_seconds, read_events
from hfcompress.profiling.times import Profiled
from hfcompress.progress import Bar
from hfcompress.runtimes.onnxruntime import CPU, OPTIMIZED, OnnxRuntime

Batches = Sequence[dict[str, np.ndarray]]


def pass_seconds(folders: Sequence[Path], batches: Batches, passes: int, threads: int, bar: Bar) -> np.ndarray:
    """Seconds of each pass of each model, shape (models, passes), after one that does not count.

    Pass i of one model ran beside pass i of the other ones.
    """
    runtimes = [OnnxRuntime(folder, threads=threads) for folder in folders]
    seconds = np.empty((len(folders), passes + 1))
    for turn in range(passes + 1):
        for index in _order(len(folders), turn):
            begin = time.perf_counter()
            for batch in batches:
                runtimes[index].predict(batch)
            seconds[index, turn] = time.perf_counter() - begin
            bar.advance(1, folders[index].name)
    return seconds[:, 1:]


def profiled(folders: Sequence[Path], batches: Batches, passes: int, threads: int, bar: Bar) -> list[Profiled]:
    """The optimized graph of each model and the seconds of its nodes in each pass, likewise."""
    with TemporaryDirectory(prefix="hfcompress-") as name:
        places = [Path(name) / str(index) for index in range(len(folders))]
        for place in places:
            place.mkdir()
        runtimes = [
            OnnxRuntime(folder, CPU, threads, profile=place) for folder, place in zip(folders, places, strict=True)
        ]
        for turn in range(passes + 1):
            for index in _order(len(folders), turn):
                for batch in batches:
                    runtimes[index].predict(batch)
                bar.advance(1, folders[index].name)
        return [
            _read(runtime, place, model_file(folder), len(batches))
            for runtime, place, folder in zip(runtimes, places, folders, strict=True)
        ]


def _order(count: int, turn: int) -> Sequence[int]:
    return range(count) if turn % 2 == 0 else range(count)[::-1]


def _read(runtime: OnnxRuntime, place: Path, source: Path, batches: int) -> Profiled:
    optimized = _graph(place / OPTIMIZED)
    seconds = node_seconds(calls_in(read_events(runtime.profiled())), optimized.node)
    passes: np.ndarray = seconds.reshape(-1, batches, len(optimized.node)).sum(axis=1)
    restore_names_(optimized.node, Flow(_graph(source)))
    return Profiled(Flow(optimized), passes[1:])


def _graph(path: Path) -> Any:
    import onnx

    return onnx.load(path, load_external_data=False).graph
