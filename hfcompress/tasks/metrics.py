"""Task metrics: `evaluate.Metric` subclasses, computed with scikit-learn.

`evaluate.load("accuracy")` fetches a script from the network; a subclass does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from hfcompress.recipe.tasks import Metric

if TYPE_CHECKING:
    import evaluate


class ClassificationMetric:
    """One number for labels and predictions, a fraction (or a coefficient in -1..1).

    Args:
        name: a metric of the recipe language.
    """

    def __init__(self, name: Metric) -> None:
        self.name: Metric = name

    def compute(self, labels: np.ndarray, predictions: np.ndarray) -> float:
        """The metric over rows; both arguments are class ids of shape (N,)."""
        from sklearn import metrics

        match self.name:
            case "accuracy":
                return float(np.mean(labels == predictions))
            case "f1_macro":
                return float(metrics.f1_score(labels, predictions, average="macro", zero_division=0))
            case "matthews_correlation":
                if np.union1d(labels, predictions).size < 2:
                    return 0.0  # as scikit-learn, without its warning for every resample of a bootstrap
                return float(metrics.matthews_corrcoef(labels, predictions))
            case _:
                assert_never(self.name)

    def per_row(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray | None:
        """Each row's part, when the metric is their mean; None otherwise. Lets the bootstrap work on an array."""
        return (labels == predictions).astype(np.float64) if self.name == "accuracy" else None

    def as_evaluate(self) -> evaluate.Metric:
        """The same metric for `evaluate`'s own tools and for `Trainer(compute_metrics=...)`."""
        return _evaluate_metric(self)


def _evaluate_metric(metric: ClassificationMetric) -> evaluate.Metric:
    import datasets
    import evaluate

    class _Metric(evaluate.Metric):  # type: ignore[misc]  # evaluate is untyped
        def _info(self) -> Any:
            classes = datasets.Value("int64")
            return evaluate.MetricInfo(
                description=f"{metric.name}, computed with scikit-learn",
                citation="",
                inputs_description="",
                features=datasets.Features({"predictions": classes, "references": classes}),
            )

        def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
            return {metric.name: metric.compute(np.asarray(references), np.asarray(predictions))}

    return _Metric(keep_in_memory=True)
