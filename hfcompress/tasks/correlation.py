"""Metrics of two numbers a row, as functions of how often each row counts; see `metrics`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hfcompress.tasks.metrics import Statistic, divided, mean, of_totals


def mse(labels: np.ndarray, predictions: np.ndarray) -> Statistic:
    """The mean squared difference; both (N,)."""
    return mean((labels.astype(np.float64) - predictions) ** 2)


def pearson(labels: np.ndarray, predictions: np.ndarray) -> Statistic:
    """Pearson's correlation of two columns (N,); 0 where one of them is constant, which leaves it undefined."""
    # Around the mean of all rows, so that the sums below do not lose digits.
    x, y = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (labels, predictions))
    sums = np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])

    def value(totals: np.ndarray) -> np.ndarray:
        n, sx, sy, sxx, syy, sxy = totals.T
        return _correlation(n * sxy - sx * sy, _spread(n, sx, sxx), _spread(n, sy, syy))

    return of_totals(sums, value)


def spearman(labels: np.ndarray, predictions: np.ndarray) -> Statistic:
    """Pearson's correlation of the ranks that rows have within each resample; ties share their mean rank."""
    ranks_of_labels, ranks_of_predictions = _ranker(labels), _ranker(predictions)

    def statistic(counts: np.ndarray) -> np.ndarray:
        n = counts.sum(axis=1, keepdims=True)
        # Ranks lie around (n + 1) / 2, whatever the ties.
        x, y = (ranks(counts) - (n + 1) / 2 for ranks in (ranks_of_labels, ranks_of_predictions))
        covariance, x_spread, y_spread = (np.einsum("bn,bn,bn->b", counts, *pair) for pair in ((x, y), (x, x), (y, y)))
        return _correlation(covariance, x_spread, y_spread)

    return statistic


def _ranker(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """How often each row counts (B, N) -> the mean rank of each row's value among those that count (B, N)."""
    distinct, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(distinct)))

    def ranks(counts: np.ndarray) -> np.ndarray:
        tied = np.add.reduceat(counts[:, order], starts, axis=1)
        found: np.ndarray = (np.cumsum(tied, axis=1) - (tied - 1) / 2)[:, group]
        return found

    return ranks


def _spread(n: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """n^2 x the variance, and exactly 0 where all that is left of it is rounding."""
    spread = n * squares - total * total
    return np.where(spread > 1e-12 * n * squares, spread, 0.0)


def _correlation(covariance: np.ndarray, x_spread: np.ndarray, y_spread: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.clip(divided(covariance, np.sqrt(x_spread) * np.sqrt(y_spread)), -1, 1)
    return found
