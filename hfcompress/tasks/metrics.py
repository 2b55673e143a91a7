"""Metrics as functions of how often each row counts, so that thousands of resamples are one matrix product.

A metric over rows is `statistic(np.ones((1, N)))[0]`; a bootstrap passes how often each resample drew each row.
scikit-learn is the oracle of the tests, not what computes: it takes milliseconds a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import evaluate
    from scipy.sparse import csr_array

#: How often each row counts, shape (B, N) -> the metric of each of the B resamples, shape (B,) float64.
Statistic: TypeAlias = Callable[[np.ndarray], np.ndarray]


def no_metric(metric: str, task: str) -> ValueError:
    """For a metric that `Task.metrics` does not hold: the plan refuses it before."""
    return ValueError(f"{task} has no metric {metric} for these labels")


def over_rows(statistic: Statistic, rows: int) -> float:
    """The metric with every row counted once."""
    return float(statistic(np.ones((1, rows)))[0])


def of_totals(per_row: np.ndarray | csr_array, value: Callable[[np.ndarray], np.ndarray]) -> Statistic:
    """A metric that depends on sums over rows alone.

    Args:
        per_row: each row's part of the sums, shape (N, K).
        value: sums of shape (B, K) to the metric, shape (B,).
    """
    return lambda counts: value(np.asarray(counts @ per_row))


def ratio(above: np.ndarray, below: np.ndarray) -> Statistic:
    """The sum over rows of `above` over that of `below`, both (N,); 0 where nothing is below."""
    return of_totals(np.column_stack([above, below]).astype(np.float64), lambda sums: divided(sums[:, 0], sums[:, 1]))


def mean(values: np.ndarray) -> Statistic:
    """The mean over rows of `values` (N,)."""
    return ratio(values, np.ones(len(values)))


def divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """`above / below`, 0 where `below` is 0."""
    quotient: np.ndarray = np.divide(above, below, out=np.zeros(np.shape(above)), where=below != 0)
    return quotient


def f1_of(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> Statistic:
    """2 x hits / (predicted + actual), each (N,) and summed over rows: the micro-averaged F1 of anything countable."""
    sums = np.column_stack([hits, predicted + actual]).astype(np.float64)
    return of_totals(sums, lambda totals: divided(2 * totals[:, 0], totals[:, 1]))


def f1_macro(labels: np.ndarray, predictions: np.ndarray, lengths: np.ndarray | None = None) -> Statistic:
    """The mean of the F1 of each class that a resample's labels or predictions hold, as scikit-learn has it.

    Args:
        labels, predictions: class ids, shape (M,).
        lengths: how many of the M each row holds, (N,), one row after the other; default: one each.
    """
    classes = _classes(labels, predictions)

    def value(totals: np.ndarray) -> np.ndarray:
        hits, predicted, actual = np.split(totals, [classes, 2 * classes], axis=1)
        seen = (predicted + actual) > 0
        return divided(divided(2 * hits, predicted + actual).sum(axis=1), seen.sum(axis=1))

    return of_totals(_class_counts(labels, predictions, classes, lengths), value)


def matthews_correlation(labels: np.ndarray, predictions: np.ndarray) -> Statistic:
    """The correlation of labels and predictions (N,), 0 where one of them is constant (Gorodkin 2004)."""
    classes = _classes(labels, predictions)

    def value(totals: np.ndarray) -> np.ndarray:
        hits, predicted, actual = np.split(totals, [classes, 2 * classes], axis=1)
        right, rows = hits.sum(axis=1), actual.sum(axis=1)
        above = right * rows - (predicted * actual).sum(axis=1)
        spread = (rows**2 - (predicted**2).sum(axis=1)) * (rows**2 - (actual**2).sum(axis=1))
        return divided(above, np.sqrt(spread))

    return of_totals(_class_counts(labels, predictions, classes, None), value)


def multi_label_f1_macro(labels: np.ndarray, predictions: np.ndarray) -> Statistic:
    """The mean over all classes of their F1, which is 0 for a class that nothing holds; both (N, C) of 0 and 1."""
    classes = labels.shape[1]
    sums = np.hstack([labels * predictions, labels + predictions]).astype(np.float64)

    def value(totals: np.ndarray) -> np.ndarray:
        found: np.ndarray = divided(2 * totals[:, :classes], totals[:, classes:]).mean(axis=1)
        return found

    return of_totals(sums, value)


def _classes(labels: np.ndarray, predictions: np.ndarray) -> int:
    return int(max(labels.max(initial=0), predictions.max(initial=0))) + 1


def _class_counts(labels: np.ndarray, predictions: np.ndarray, classes: int, lengths: np.ndarray | None) -> csr_array:
    """Hits, predictions and labels of each class by row, (N, 3 x classes); sparse, as a row holds few classes."""
    from scipy.sparse import csr_array

    lengths = np.ones(len(labels), dtype=np.int64) if lengths is None else lengths
    rows = np.repeat(np.arange(len(lengths)), lengths)
    right = labels == predictions
    row = np.concatenate([rows[right], rows, rows])
    column = np.concatenate([labels[right], classes + predictions, 2 * classes + labels])
    return csr_array((np.ones(len(row)), (row, column)), shape=(len(lengths), 3 * classes))


def as_evaluate(name: str, statistic: Callable[[np.ndarray, np.ndarray], Statistic]) -> evaluate.Metric:
    """A metric of class ids for `evaluate`'s own tools; `evaluate.load` would fetch a script from the network.

    Args:
        name: the key of its result.
        statistic: labels and predictions, both (N,) int64, to the metric: `f1_macro`, for example.
    """
    import datasets
    import evaluate

    class _Metric(evaluate.Metric):  # type: ignore[misc]  # evaluate is untyped
        def _info(self) -> Any:
            classes = datasets.Value("int64")
            return evaluate.MetricInfo(
                description=f"{name}, with the value that scikit-learn gives",
                citation="",
                inputs_description="",
                features=datasets.Features({"predictions": classes, "references": classes}),
            )

        def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
            found = statistic(np.asarray(references), np.asarray(predictions))
            return {name: over_rows(found, len(references))}

    return _Metric(keep_in_memory=True)
