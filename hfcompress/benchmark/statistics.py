"""Intervals of metrics and of speed: percentile bootstrap, seeded, in bounded memory.

Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; scipy does the resampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

#: Relative spread (see `spread`) above which a measurement is marked unreliable. At 0.2 the middle half of the samples
#: lies within about 10% of the median, and the medians of two runs of 30 samples differ by less than 5% two times in
#: three. Beyond that the differences that matter between artifacts (INT8 that gains 1.1 to 1.3 times) drown.
SPREAD_LIMIT = 0.2

_CONFIDENCE = 0.95
#: Resamples of a mean of rows, which is one array operation, and of a metric that is computed anew for each.
_RESAMPLES_OF_ROWS = 9999
_RESAMPLES_OF_METRIC = 999
#: Most elements that one batch of resamples holds: 32 MB of row indices, as much again of values.
_BATCH_ELEMENTS = 1 << 22


class Metric(Protocol):
    """One number for labels and predictions."""

    def compute(self, labels: np.ndarray, predictions: np.ndarray) -> float:
        """The metric over rows."""

    def per_row(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray | None:
        """Each row's part, shape (N,), when the metric is their mean; None otherwise."""


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


def metric_interval(metric: Metric, labels: np.ndarray, predictions: np.ndarray, seed: int) -> Estimate:
    """The metric over rows, and its interval over resamples of the rows.

    Args:
        metric: a mean of rows is resampled as an array, others are computed anew 999 times.
        labels: shape (N,).
        predictions: shape (N, ...), in the same order.
        seed: equal seed, equal interval.
    """
    value = metric.compute(labels, predictions)
    rows = metric.per_row(labels, predictions)
    if rows is not None:
        return Estimate(value, *_bootstrap_mean(rows, seed))
    return Estimate(
        value, *_bootstrap_rows(lambda chosen: metric.compute(labels[chosen], predictions[chosen]), len(labels), seed)
    )


def metric_difference(metric: Metric, labels: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int) -> Estimate:
    """`metric(a) - metric(b)` on the same rows, with its paired interval: both are read on the same resample.

    Args:
        metric: see `metric_interval`.
        labels: shape (N,).
        a, b: predictions of two models, shape (N, ...), in the same order.
        seed: equal seed, equal interval.
    """
    value = metric.compute(labels, a) - metric.compute(labels, b)
    rows_a, rows_b = metric.per_row(labels, a), metric.per_row(labels, b)
    if rows_a is not None and rows_b is not None:
        return Estimate(value, *_bootstrap_mean(rows_a - rows_b, seed))

    def difference(chosen: np.ndarray) -> float:
        return metric.compute(labels[chosen], a[chosen]) - metric.compute(labels[chosen], b[chosen])

    return Estimate(value, *_bootstrap_rows(difference, len(labels), seed))


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
    return Estimate(float(np.median(ratios)), *_bootstrap(ratios, np.median, _RESAMPLES_OF_ROWS, seed))


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

    return Estimate(float(np.percentile(samples, percent)), *_bootstrap(samples, statistic, _RESAMPLES_OF_ROWS, seed))


def spread(samples: Sequence[float]) -> float:
    """Relative spread: the distance between the quartiles over the median. A few slow calls do not move it."""
    low, median, high = np.percentile(np.asarray(samples), (25, 50, 75))
    return float((high - low) / median)


def _bootstrap_mean(rows: np.ndarray, seed: int) -> tuple[float, float]:
    return _bootstrap(rows, np.mean, _RESAMPLES_OF_ROWS, seed)


def _bootstrap_rows(statistic: Callable[[np.ndarray], float], count: int, seed: int) -> tuple[float, float]:
    """Interval of a statistic of row numbers."""

    def along(chosen: np.ndarray, axis: int) -> Any:
        return np.apply_along_axis(statistic, axis, chosen)

    return _bootstrap(np.arange(count), along, _RESAMPLES_OF_METRIC, seed)


def _bootstrap(samples: np.ndarray, statistic: Callable[..., Any], resamples: int, seed: int) -> tuple[float, float]:
    from scipy import stats

    if len(samples) == 1:
        only = float(statistic(samples, axis=0))
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
