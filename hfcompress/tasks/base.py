"""What the rest of the system asks of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hfcompress.recipe.tasks import TaskName

if TYPE_CHECKING:
    from datasets import Dataset

#: A batch: name of a model input -> array with the rows on axis 0.
Batch = Mapping[str, np.ndarray]
#: Rows of a prepared dataset -> a batch.
Collate = Callable[[Sequence[Mapping[str, Any]]], dict[str, np.ndarray]]


class Task(ABC):
    """One task: how raw rows become batches, and outputs become predictions.

    Raw rows have the columns of the task's roles (`text`, `image`, `label`, ...) and `row_id`. A prepared dataset has
    `labels` (class id), `row_id`, and `length` where the cost of a row depends on it.
    """

    name: ClassVar[TaskName]
    #: The end of the class names of models that have this task's head.
    head: ClassVar[str]

    @abstractmethod
    def model_class(self) -> Any:
        """The `AutoModelFor...` class of the task."""

    @abstractmethod
    def load_processor(self, folder: Path) -> Any:
        """The tokenizer or image processor in a model folder; raises `ModelError` when there is none."""

    @abstractmethod
    def prepare(self, rows: Dataset, processor: Any, max_length: int) -> Dataset:
        """Raw rows to prepared rows."""

    @abstractmethod
    def collate(self, processor: Any) -> Collate:
        """The function that makes a padded batch of prepared rows."""

    @abstractmethod
    def preprocess(self, examples: Sequence[Any], processor: Any, max_length: int) -> dict[str, np.ndarray]:
        """User's examples (strings, pairs of strings, or images) to a batch, without labels."""

    @abstractmethod
    def grid_batch(self, processor: Any, batch: int, sequence: int, seed: int) -> dict[str, np.ndarray]:
        """A made-up batch of exactly this shape, for latencies; `sequence` means nothing for images."""

    @abstractmethod
    def check_compatible(self, student: Any, teacher: Any) -> str | None:
        """Why a teacher's processor gives other inputs than the student's, or None."""

    def predictions(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Model outputs to one prediction a row; for classification the class with the largest logit, shape (N,)."""
        best: np.ndarray = np.argmax(outputs["logits"], axis=-1)
        return best
