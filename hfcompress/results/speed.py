"""How fast an artifact is on a host."""

from __future__ import annotations

from hfcompress.results.records import Record


class Latency(Record):
    """One cell of the latency grid, in milliseconds of one call. `sequence` is null for images."""

    batch: int
    sequence: int | None
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float


class Speed(Record):
    """What one host measured of one artifact.

    Attributes:
        host: a key of `hosts`.
        runtime: `torch` or `onnxruntime`, with the provider: `onnxruntime:CPUExecutionProvider`.
        threads: cores that the runtime used.
        reliable: False when the spread of the repeats was too large to trust a figure; `remarks` says which.
        latency: the grid.
        throughput_per_s: rows a second on the data's own lengths (median over the passes).
        speedup: throughput over the baseline's, same host and threads (median of the ratios, pass by pass).
        speedup_low, speedup_high: its 95% interval.
        peak_memory_mb: peak resident memory of a fresh process that loads the artifact and runs the stream, 10^6 bytes.
        remarks: what a reader should know before trusting the figures.
    """

    host: str
    runtime: str
    threads: int
    reliable: bool
    latency: tuple[Latency, ...] = ()
    throughput_per_s: float
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    peak_memory_mb: float | None = None
    remarks: tuple[str, ...] = ()
