"""Latency of single calls, and throughput over the sample."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .batches import Batch, Packed, Predict

#: Calls of one size before another size has its turn, so that a noisy minute touches all sizes.
CALLS_PER_TURN = 5


def seconds_of(predict: Predict, batch: Batch) -> float:
    """Of one call."""
    begin = time.perf_counter()
    predict(batch)
    return time.perf_counter() - begin


def time_grid(predict: Predict, grid: Packed, benchmark: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds of each call of each size, the sizes by turns; calls that warm up do not count."""
    found: dict[str, list[float]] = {name: [] for name in grid.names}
    for start in range(0, benchmark["repeats"], CALLS_PER_TURN):
        for name in grid.names:
            batch = grid[name]
            for _ in range(benchmark["warmup"] if start == 0 else 1):
                predict(batch)
            count = min(CALLS_PER_TURN, benchmark["repeats"] - start)
            found[name] += [seconds_of(predict, batch) for _ in range(count)]
    return found


def time_stream(predict: Predict, sample: Packed) -> float:
    """Seconds of one pass over the sample: the sum over its calls, without reading the batches."""
    return sum(seconds_of(predict, batch) for batch in sample)


def latency(cell: dict[str, Any], seconds: list[float]) -> dict[str, Any]:
    """Percentiles of one size in milliseconds, and the samples in seconds. p99 of few samples is about the slowest."""
    values = np.percentile(1e3 * np.asarray(seconds), (50, 90, 95, 99))
    named = {f"p{p}_ms": float(value) for p, value in zip((50, 90, 95, 99), values, strict=True)}
    return {"batch": cell["batch"], "sequence": cell["sequence"], **named, "seconds": seconds}
