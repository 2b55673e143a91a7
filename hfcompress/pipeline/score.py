"""From predictions to metrics with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hfcompress.benchmark.statistics import metric_difference, metric_interval
from hfcompress.pipeline.predictions import Predictions
from hfcompress.recipe.data import Split
from hfcompress.recipe.tasks import Metric
from hfcompress.results import Difference, Interval
from hfcompress.tasks.metrics import ClassificationMetric


def score(predictions: Predictions, metrics: Sequence[Metric], split: Split, seed: int) -> dict[str, Interval]:
    """Every metric with its bootstrap 95% interval."""
    scored: dict[str, Interval] = {}
    for name in metrics:
        value, low, high = metric_interval(
            ClassificationMetric(name), predictions.labels, predictions.predictions, seed
        )
        scored[name] = Interval(value=value, low=low, high=high, split=split)
    return scored


def compare(
    answers: Mapping[str, Predictions],
    name: str,
    against: str | None,
    metrics: Sequence[Metric],
    split: Split,
    seed: int,
) -> dict[str, Difference]:
    """Paired difference of every metric, `name` less `against`, on the same rows; nothing without a reference."""
    if against is None or against not in answers:
        return {}
    ours, theirs = answers[name], answers[against]
    compared: dict[str, Difference] = {}
    for metric in metrics:
        value, low, high = metric_difference(
            ClassificationMetric(metric), ours.labels, ours.predictions, theirs.predictions, seed
        )
        compared[metric] = Difference(value=value, low=low, high=high, split=split, against=against)
    return compared
