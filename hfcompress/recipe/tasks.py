"""What a recipe may say about each task: its columns and metrics.

The code of a task is `hfcompress/tasks/<task>.py`; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskName = Literal[
    "text-classification",
    "token-classification",
    "masked-lm",
    "feature-extraction",
    "question-answering",
    "image-classification",
]
Metric = Literal[
    "accuracy",
    "f1",
    "f1_macro",
    "f1_micro",
    "matthews_correlation",
    "subset_accuracy",
    "pearson",
    "spearman",
    "mse",
    "perplexity",
    "exact_match",
]

#: Metrics of which less is better. They are no fractions either, and so are never shown in points.
LESS_IS_BETTER: frozenset[str] = frozenset({"mse", "perplexity"})


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
    "token-classification": TaskLanguage(
        required=("tokens", "tags"),
        optional=(),
        metrics=("f1", "accuracy", "f1_macro"),  # `f1` is of entities, so of tags with `B-` and `I-`
        has_sequence=True,
        labels=("tags",),
    ),
    "masked-lm": TaskLanguage(
        required=("text",),
        optional=(),
        metrics=("accuracy", "perplexity"),
        has_sequence=True,
        labels=(),
    ),
    "feature-extraction": TaskLanguage(
        required=("text",),
        optional=(),
        metrics=("spearman", "pearson"),
        has_sequence=True,
        labels=(),
        evaluated=("text_pair", "label"),
    ),
    "question-answering": TaskLanguage(
        required=("question", "context", "answers"),
        optional=(),
        metrics=("f1", "exact_match"),
        has_sequence=True,
        labels=("answers",),
    ),
    "image-classification": TaskLanguage(
        required=("image", "label"),
        optional=(),
        metrics=_ONE_CLASS,
        has_sequence=False,
    ),
}
