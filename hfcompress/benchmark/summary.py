"""Raw samples become figures: percentiles, throughput, speed-up, and whether they can be trusted."""

from __future__ import annotations

from collections.abc import Iterator

from hfcompress.benchmark.statistics import SPREAD_LIMIT, Estimate, percentiles, ratio_interval, spread
from hfcompress.benchmark.timings import Shape, Timings
from hfcompress.errors import MeasurementError
from hfcompress.results import Latency, Speed


def speed_of(timings: Timings, baseline: Timings | None, host: str, seed: int, remarks: tuple[str, ...] = ()) -> Speed:
    """The figures of one artifact.

    p99 of fewer than 100 repeats is about the slowest call; see `statistics.percentiles`.

    Args:
        timings: its samples.
        baseline: those of the baseline, from the same session; None: no speed-up. The baseline itself has 1.
        host: a key of `hosts` in the results.
        seed: of the speed-up's interval.
        remarks: what else a reader should know; says nothing of whether the samples can be trusted.

    Raises:
        MeasurementError: the two were not timed on the same stream with the same threads.
    """
    doubts = tuple(_remarks(timings, baseline))
    speedup = None if baseline is None else speedup_over(baseline, timings, seed)
    return Speed(
        host=host,
        runtime=timings.runtime,
        threads=timings.threads,
        reliable=not doubts,
        latency=tuple(_latency(shape, seconds) for shape, seconds in timings.latency_s.items()),
        throughput_per_s=timings.stream_rows / percentiles(timings.stream_s).p50,
        speedup=speedup.value if speedup else None,
        speedup_low=speedup.low if speedup else None,
        speedup_high=speedup.high if speedup else None,
        peak_memory_mb=timings.peak_memory_mb,
        remarks=(*doubts, *remarks),
    )


def speedup_over(baseline: Timings, timings: Timings, seed: int) -> Estimate:
    """Throughput over the baseline's: the median over passes of the ratio of their seconds, with its 95% interval.

    Raises:
        MeasurementError: the two were not timed on the same stream with the same threads.
    """
    for what, theirs, ours in (
        ("threads", baseline.threads, timings.threads),
        ("rows", baseline.stream_rows, timings.stream_rows),
        ("passes", len(baseline.stream_s), len(timings.stream_s)),
    ):
        if theirs != ours:
            raise MeasurementError(
                f"a speed-up compares one stream on equal threads, but the baseline has {theirs} {what} and the "
                f"artifact {ours}; time both in one session"
            )
    return ratio_interval(baseline.stream_s, timings.stream_s, seed)


def _latency(shape: Shape, seconds: list[float]) -> Latency:
    milliseconds = (1000 * value for value in percentiles(seconds))
    p50, p90, p95, p99 = milliseconds
    return Latency(batch=shape[0], sequence=shape[1], p50_ms=p50, p90_ms=p90, p95_ms=p95, p99_ms=p99)


def _remarks(timings: Timings, baseline: Timings | None) -> Iterator[str]:
    """One line for each figure whose samples lie too far apart."""
    samples: dict[str, list[float]] = {
        f"latency at {_named(shape)}": seconds for shape, seconds in timings.latency_s.items()
    }
    samples["throughput"] = timings.stream_s
    if baseline is not None and len(baseline.stream_s) == len(timings.stream_s):
        samples["speed-up"] = [b / a for b, a in zip(baseline.stream_s, timings.stream_s, strict=True)]
    for figure, values in samples.items():
        if (found := spread(values)) > SPREAD_LIMIT:
            yield (
                f"{figure} is unreliable: the quartiles of its {len(values)} samples lie {found:.0%} of the median "
                f"apart, above {SPREAD_LIMIT:.0%}"
            )


def _named(shape: Shape) -> str:
    batch, sequence = shape
    return f"batch {batch}" if sequence is None else f"batch {batch}, sequence {sequence}"
