"""What a recipe may say about each task: its columns and metrics.

The code of a task is `hfcompress/tasks/<task>.py`; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["text-classification", "image-classification"]
Metric = Literal["accuracy", "f1_macro", "matthews_correlation"]


@dataclass(frozen=True)
class TaskLanguage:
    """The words of one task.

    Attributes:
        required: roles of columns that `data.columns` has to name; a role that is left out is its own column name.
        optional: roles that may be named.
        metrics: what `evaluate.metrics` may hold, the default first.
        has_sequence: whether latency depends on a sequence length (text) or not (images).
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    metrics: tuple[Metric, ...]
    has_sequence: bool


TASKS: dict[TaskName, TaskLanguage] = {
    "text-classification": TaskLanguage(
        required=("text", "label"),
        optional=("text_pair",),
        metrics=("accuracy", "f1_macro", "matthews_correlation"),
        has_sequence=True,
    ),
    "image-classification": TaskLanguage(
        required=("image", "label"),
        optional=(),
        metrics=("accuracy", "f1_macro", "matthews_correlation"),
        has_sequence=False,
    ),
}
