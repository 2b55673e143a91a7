"""Intervals of metrics and of speed: percentile bootstrap, seeded, in bounded memory.

Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; scipy does the resampling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

#: Relative spread (see `spread`) above which a measurement is marked unreliable. At 0.2 the middle half of the samples
#: lies within about 10% of the median, and the medians of two runs of 30 samples differ by less than 5% two times in
#: three. Beyond that the differences that matter between artifacts (INT8 that gains 1.1 to 1.3 times) drown.
SPREAD_LIMIT = 0.2

_CONFIDENCE = 0.95
_RESAMPLES = 9999
#: Most elements that one batch of resamples holds: 8 MB of row numbers, and some arrays of that size beside them.
_BATCH_ELEMENTS = 1 << 20

#: How often each row counts, shape (B, N) float64 -> a metric of each of the B resamples, shape (B,).
Statistic: TypeAlias = Callable[[np.ndarray], np.ndarray]


class Estimate(NamedTuple):
    """A value with its 95% interval. With one observation the interval has no width, as nothing is known of it."""

    value: float
    low: float
    high: float


class Percentiles(NamedTuple):
    """Of one set of samples, in their unit."""

    p50: float
    p90: float
    p95: float
    p99: float


def metric_interval(metric: Statistic, rows: int, seed: int) -> Estimate:
    """The metric over rows, and its interval over resamples of the rows.

    Args:
        metric: how often each row counts, (B, rows) -> (B,).
        rows: how many there are.
        seed: equal seed, equal interval.
    """
    return Estimate(_once(metric, rows), *_bootstrap_rows(metric, rows, seed))


def mean_interval(counts: Mapping[float, int], seed: int) -> Estimate:
    """The mean over rows of few different values, and its interval over resamples of the rows.

    How often a resample of the rows has each value is a draw of a multinomial distribution, so nothing here is as long
    as the rows are many (Efron & Tibshirani, chapter 5).

    Args:
        counts: value -> how many rows have it; some row has one.
        seed: equal seed, equal interval.
    """
    values, rows = np.array(list(counts), dtype=np.float64), np.array(list(counts.values()), dtype=np.int64)
    whole = int(rows.sum())
    means = np.random.default_rng(seed).multinomial(whole, rows / whole, size=_RESAMPLES) @ values / whole
    low, high = np.percentile(means, (50 * (1 - _CONFIDENCE), 50 * (1 + _CONFIDENCE)))
    return Estimate(float(rows @ values) / whole, float(low), float(high))


def metric_difference(a: Statistic, b: Statistic, rows: int, seed: int) -> Estimate:
    """The metric of one model less that of another, with its paired interval: both are read on the same resample.

    Args:
        a, b: the metric of each model's answers to the same rows; see `metric_interval`.
        rows: how many there are.
        seed: equal seed, equal interval.
    """
    value = _once(a, rows) - _once(b, rows)
    return Estimate(value, *_bootstrap_rows(lambda counts: a(counts) - b(counts), rows, seed))


def ratio_interval(a_seconds: Sequence[float], b_seconds: Sequence[float], seed: int) -> Estimate:
    """How many times longer `a` takes than `b`: the median over passes of their ratio, with its interval.

    Paired: pass i of both ran side by side, so what slowed one slowed the other. With n passes the interval cannot be
    wider than the smallest and the largest ratio; seven passes are few, and it is then a little too narrow.

    Raises:
        ValueError: the two have different numbers of passes, or none.
    """
    if len(a_seconds) != len(b_seconds) or len(a_seconds) == 0:
        raise ValueError(f"ratios need as many passes of both, got {len(a_seconds)} and {len(b_seconds)}")
    ratios = np.asarray(a_seconds, dtype=np.float64) / np.asarray(b_seconds, dtype=np.float64)
    return Estimate(float(np.median(ratios)), *_bootstrap(ratios, np.median, _RESAMPLES, seed))


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """p50, p90, p95 and p99, interpolated between the nearest samples.

    Below 100 samples p99 lies between the two largest, and tells of the slowest call rather than of the slowest
    hundredth; below 20 the same is true of p95.
    """
    return Percentiles(*(float(value) for value in np.percentile(np.asarray(seconds), (50, 90, 95, 99))))


def percentile_interval(seconds: Sequence[float], percent: float, seed: int) -> Estimate:
    """One percentile of samples with its interval; `percent` is 50 for the median."""
    samples = np.asarray(seconds, dtype=np.float64)

    def statistic(values: np.ndarray, axis: int) -> Any:
        return np.percentile(values, percent, axis=axis)

    return Estimate(float(np.percentile(samples, percent)), *_bootstrap(samples, statistic, _RESAMPLES, seed))


def spread(samples: Sequence[float]) -> float:
    """Relative spread: the distance between the quartiles over the median. A few slow calls do not move it."""
    low, median, high = np.percentile(np.asarray(samples), (25, 50, 75))
    return float((high - low) / median)


def _once(statistic: Statistic, rows: int) -> float:
    return float(statistic(np.ones((1, rows)))[0])


def _bootstrap_rows(statistic: Statistic, rows: int, seed: int) -> tuple[float, float]:
    """Interval of a statistic of how often each row counts."""

    def of_rows(chosen: np.ndarray, axis: int) -> Any:
        # (B, rows) row numbers, or (rows,) for all of them once, with axis -1.
        drawn = chosen.reshape(-1, rows)
        shifted = drawn + rows * np.arange(len(drawn))[:, None]
        counts = np.bincount(shifted.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        return statistic(counts).reshape(chosen.shape[:-1])

    return _bootstrap(np.arange(rows), of_rows, _RESAMPLES, seed)


def _bootstrap(samples: np.ndarray, statistic: Callable[..., Any], resamples: int, seed: int) -> tuple[float, float]:
    from scipy import stats

    if len(samples) == 1:
        only = float(statistic(samples, axis=-1))
        return only, only
    interval = stats.bootstrap(
        (samples,),
        statistic,
        n_resamples=resamples,
        batch=max(1, _BATCH_ELEMENTS // len(samples)),
        vectorized=True,
        confidence_level=_CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
