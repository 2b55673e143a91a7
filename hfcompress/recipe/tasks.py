"""What a recipe may say about each task: its columns and metrics.

The code of a task is `hfcompress/tasks/<task>.py`; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["text-classification", "image-classification"]
Metric = Literal[
    "accuracy",
    "f1_macro",
    "f1_micro",
    "matthews_correlation",
    "subset_accuracy",
    "pearson",
    "spearman",
    "mse",
]

#: Metrics of which less is better. They are no fractions either, and so are never shown in points.
LESS_IS_BETTER: frozenset[str] = frozenset({"mse"})


@dataclass(frozen=True)
class TaskLanguage:
    """The words of one task.

    Attributes:
        required: roles of columns that `data.columns` has to name; a role that is left out is its own column name.
        optional: roles that may be named.
        metrics: what `evaluate.metrics` may hold, the default first; which of them fit may depend on the labels.
        has_sequence: whether latency depends on a sequence length (text) or not (images).
        labels: those of the required roles that unlabelled rows lack; empty: the task learns without labels.
        evaluated: roles that only the splits that are evaluated need.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    metrics: tuple[Metric, ...]
    has_sequence: bool
    labels: tuple[str, ...] = ("label",)
    evaluated: tuple[str, ...] = ()


#: Metrics of one class a row.
_ONE_CLASS: tuple[Metric, ...] = ("accuracy", "f1_macro", "matthews_correlation")

TASKS: dict[TaskName, TaskLanguage] = {
    "text-classification": TaskLanguage(
        required=("text", "label"),
        optional=("text_pair",),
        # One class a row; several (multi-label); a number (regression).
        metrics=(*_ONE_CLASS, "f1_micro", "subset_accuracy", "pearson", "spearman", "mse"),
        has_sequence=True,
    ),
    "image-classification": TaskLanguage(
        required=("image", "label"),
        optional=(),
        metrics=_ONE_CLASS,
        has_sequence=False,
    ),
}
