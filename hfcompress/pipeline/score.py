"""From predictions to metrics with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hfcompress.benchmark.statistics import metric_difference, metric_interval
from hfcompress.errors import MeasurementError
from hfcompress.pipeline.predictions import Predictions
from hfcompress.recipe.data import Split
from hfcompress.recipe.tasks import Metric
from hfcompress.results import Difference, Interval
from hfcompress.tasks.data import Data


def score(
    predictions: Predictions, data: Data, metrics: Sequence[Metric], split: Split, seed: int
) -> dict[str, Interval]:
    """Every metric with its bootstrap 95% interval."""
    scored: dict[str, Interval] = {}
    for name in metrics:
        statistic = data.task.statistic(name, predictions, data.labels)
        value, low, high = metric_interval(statistic, len(predictions["row_id"]), seed)
        scored[name] = Interval(value=value, low=low, high=high, split=split)
    return scored


def compare(
    answers: Mapping[str, Predictions],
    pair: tuple[str, str | None],
    data: Data,
    metrics: Sequence[Metric],
    split: Split,
    seed: int,
) -> dict[str, Difference]:
    """Paired difference of every metric, the first of `pair` less the second, on the same rows.

    Nothing without a second, or when that has no answers.
    """
    name, against = pair
    if against is None or against not in answers:
        return {}
    ours, theirs = answers[name], answers[against]
    if not np.array_equal(np.asarray(ours["row_id"]), np.asarray(theirs["row_id"])):
        raise MeasurementError(
            f"{name} and {against} answered different rows, which cannot be paired: their tokenizers leave out others"
        )
    compared: dict[str, Difference] = {}
    for metric in metrics:
        a, b = (data.task.statistic(metric, answered, data.labels) for answered in (ours, theirs))
        value, low, high = metric_difference(a, b, len(ours["row_id"]), seed)
        compared[metric] = Difference(value=value, low=low, high=high, split=split, against=against)
    return compared
