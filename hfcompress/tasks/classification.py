"""What text and image classification share: labels, answers and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, assert_never, cast

import numpy as np

from hfcompress.errors import DataError
from hfcompress.models.folder import Problem
from hfcompress.recipe.data import Split
from hfcompress.recipe.tasks import Metric
from hfcompress.tasks import correlation, metrics
from hfcompress.tasks.base import Batch, Task
from hfcompress.tasks.columns import Columns
from hfcompress.tasks.decisions import Decisions
from hfcompress.tasks.label_columns import check_same_classes, labels_of_data
from hfcompress.tasks.labels import Labels, align, classes_config, describe, labels_of_model
from hfcompress.tasks.metrics import Statistic, no_metric

if TYPE_CHECKING:
    from datasets import Dataset

#: A class of several is predicted when its sigmoid is above this, that is its logit above 0.
_THRESHOLD_LOGIT = 0.0
_METRICS: dict[Problem, tuple[Metric, ...]] = {
    "single_label_classification": ("accuracy", "f1_macro", "matthews_correlation"),
    "multi_label_classification": ("f1_micro", "f1_macro", "subset_accuracy"),
    "regression": ("pearson", "spearman", "mse"),
}


class Classification(Task):
    """One class a row, several (multi-label), or a number (regression): Transformers' three `problem_type`s."""

    #: What the label column may mean.
    problems: ClassVar[tuple[Problem, ...]] = ("single_label_classification",)

    def labels_of(self, rows: Dataset, where: str, model: Labels | None) -> Labels:
        """Told by the type of the column `label`; integers are numbers where the model is one of regression."""
        found = labels_of_data(rows, where, model.problem if model else None)
        if found.problem not in self.problems:
            raise DataError(f"{where} holds {describe(found)}; {self.name} takes one class a row")
        return found

    def labels_of_model(self, config: Mapping[str, Any]) -> Labels:
        """Class names and problem."""
        return labels_of_model(config)

    def align(self, labels: Labels, model: Labels) -> Labels | None:
        """By name, or by number where one side has no names."""
        return align(labels, model)

    def head_config(self, labels: Labels) -> dict[str, Any]:
        """One output a class, and the problem: the source's own may be another."""
        return {**classes_config(labels), "problem_type": labels.problem}

    def check_splits(self, splits: Mapping[Split, Dataset]) -> None:
        """Every split lists the same classes in the same order."""
        check_same_classes(splits, "label")

    def encode(self, rows: Dataset, labels: Labels, where: str) -> Dataset:
        """The column `label`: int64, float32, or lists of float32."""
        encoded = labels.encode(list(rows["label"]), where, list(rows["row_id"]))
        # Not `map`, which would copy the images of the split to disk.
        return rows.remove_columns("label").add_column("label", encoded.tolist(), feature=_feature(labels))

    def without_labels(self, rows: Dataset, labels: Labels) -> Dataset:
        """-100, NaN, or a row of NaN."""
        return rows.add_column("label", [labels.no_label()] * len(rows), feature=_feature(labels))

    def predictions(self, outputs: Mapping[str, np.ndarray], batch: Batch, labels: Labels) -> Columns:
        """`logits` (N, classes) float32, and `prediction`: a class id, 0 or 1 for each class, or the number."""
        logits = outputs["logits"].astype(np.float32)
        kept = {"prediction": _predicted(logits, _problem(labels)), "logits": logits}
        return {**kept, "label": batch["labels"]} if "labels" in batch else kept

    def answers(self, kept: Columns, examples: Sequence[Any], processor: Any, labels: Labels) -> list[Any]:
        """A class name, a list of class names, or a number for each example."""
        predicted = kept["prediction"]
        match _problem(labels):
            case "single_label_classification":
                return [labels.names[index] for index in _array(predicted)]
            case "multi_label_classification":
                return [[labels.names[index] for index in np.flatnonzero(row)] for row in _array(predicted)]
            case "regression":
                return [float(value) for value in _array(predicted)]

    def metrics(self, labels: Labels) -> tuple[Metric, ...]:
        """By the problem."""
        return _METRICS[_problem(labels)]

    def decisions(self, kept: Columns, labels: Labels) -> Decisions | None:
        """One a row; of several classes one a row and class; none of a regression, whose answers are near or far."""
        label, predicted = _array(kept["label"]), _array(kept["prediction"])
        match _problem(labels):
            case "single_label_classification":
                return Decisions.of_classes(predicted, label)
            case "multi_label_classification":
                return Decisions.of_sets(predicted, label)
            case "regression":
                return None

    def statistic(self, metric: Metric, kept: Columns, labels: Labels) -> Statistic:
        """See `metrics` and `correlation`; `accuracy` is a mean over rows."""
        label, predicted = _array(kept["label"]), _array(kept["prediction"])
        if labels.problem == "multi_label_classification":
            return _of_several(metric, label, predicted)
        match metric:
            case "accuracy":
                return metrics.mean(label == predicted)
            case "f1_macro":
                return metrics.f1_macro(label, predicted)
            case "matthews_correlation":
                return metrics.matthews_correlation(label, predicted)
            case "pearson":
                return correlation.pearson(label, predicted)
            case "spearman":
                return correlation.spearman(label, predicted)
            case "mse":
                return correlation.mse(label, predicted)
            case _:
                raise no_metric(metric, self.name)


def _feature(labels: Labels) -> Any:
    from datasets import Sequence as Lists
    from datasets import Value

    match _problem(labels):
        case "single_label_classification":
            return Value("int64")
        case "multi_label_classification":
            return Lists(Value("float32"))
        case "regression":
            return Value("float32")


def _predicted(logits: np.ndarray, problem: Problem) -> np.ndarray:
    match problem:
        case "single_label_classification":
            best: np.ndarray = np.argmax(logits, axis=-1)
            return best
        case "multi_label_classification":
            return (logits > _THRESHOLD_LOGIT).astype(np.int64)
        case "regression":
            return logits[:, 0]
        case _:
            assert_never(problem)


def _of_several(metric: Metric, label: np.ndarray, predicted: np.ndarray) -> Statistic:
    match metric:
        case "f1_micro":
            return metrics.f1_of((label * predicted).sum(axis=1), predicted.sum(axis=1), label.sum(axis=1))
        case "f1_macro":
            return metrics.multi_label_f1_macro(label, predicted)
        case "subset_accuracy":
            return metrics.mean((label == predicted).all(axis=1))
        case _:
            raise no_metric(metric, "multi-label classification")


def _problem(labels: Labels) -> Problem:
    return labels.problem or "single_label_classification"


def _array(column: Any) -> np.ndarray:
    return cast("np.ndarray", column)
