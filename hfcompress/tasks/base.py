"""What the rest of the system asks of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hfcompress.recipe.data import Split
from hfcompress.recipe.tasks import Metric, TaskName
from hfcompress.tasks.columns import Columns
from hfcompress.tasks.decisions import Decisions
from hfcompress.tasks.labels import NO_CLASSES, Labels
from hfcompress.tasks.metrics import Statistic

if TYPE_CHECKING:
    from datasets import Dataset

#: A batch: name of a model input -> array with the rows on axis 0.
Batch = Mapping[str, np.ndarray]
#: Rows of a prepared dataset -> a batch.
Collate = Callable[[Sequence[Mapping[str, Any]]], dict[str, np.ndarray]]


class Task(ABC):
    """One task: how raw rows become batches, how outputs become answers, and what these are worth.

    Raw rows have the columns of the task's roles (`text`, `image`, `label`, ...) and `row_id`. A prepared dataset has
    the labels that the model learns, `row_id`, and `length` where the cost of a row depends on it. It may hold several
    rows for one raw row; `gather` puts their answers together again.
    """

    name: ClassVar[TaskName]
    #: The end of the class names of models that have this task's head.
    head: ClassVar[str]
    #: The outputs of a model that are read.
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    #: Rows of one call while predicting: padding is small since rows are sorted by length.
    predict_rows: ClassVar[int] = 32
    #: The role of the column that classes come from; None for a task without classes.
    labelled_by: ClassVar[str | None] = "label"
    #: Whether outputs are those of whole rows, and so mean the same to models that cut text into other tokens.
    answers_rows: ClassVar[bool] = True
    #: Whether preparing rows draws from the seed.
    draws: ClassVar[bool] = False

    @abstractmethod
    def model_class(self) -> Any:
        """The `AutoModel...` class of the task."""

    def adapt_(self, model: Any) -> None:  # noqa: B027  # most tasks take the model as it is
        """Take out of a model what the task never reads."""

    @abstractmethod
    def load_processor(self, folder: Path) -> Any:
        """The tokenizer or image processor in a model folder; raises `ModelError` when there is none."""

    def labels_of(self, rows: Dataset, where: str, model: Labels | None) -> Labels:
        """What the label column holds; by default there are no classes.

        Args:
            rows: a split.
            where: what holds the labels, as the start of a sentence.
            model: the labels of the model that the run starts from, where it has the task's head.

        Raises:
            DataError: labels that cannot be used.
        """
        return NO_CLASSES

    def labels_of_model(self, config: Mapping[str, Any]) -> Labels:
        """The labels of a model that has the task's head, by its config."""
        return NO_CLASSES

    def align(self, labels: Labels, model: Labels) -> Labels | None:
        """The data's labels in the order of a model's, or None when they do not fit."""
        return labels

    def head_config(self, labels: Labels) -> dict[str, Any]:
        """Fields of the config of a model with a new head for these labels."""
        return {}

    def check_splits(self, splits: Mapping[Split, Dataset]) -> None:  # noqa: B027  # nothing to compare without classes
        """Raise `DataError` where splits do not mean the same by their labels."""

    @abstractmethod
    def encode(self, rows: Dataset, labels: Labels, where: str) -> Dataset:
        """Raw labels to encoded ones, in the same columns; raises `DataError` with the row of one that is bad."""

    @abstractmethod
    def without_labels(self, rows: Dataset, labels: Labels) -> Dataset:
        """Rows that have no label column, with one that says so, as `encode` would type it."""

    @abstractmethod
    def prepare(self, rows: Dataset, processor: Any, max_length: int, seed: int = 0) -> Dataset:
        """Encoded rows to prepared rows; `seed` is of what draws, if anything does."""

    @abstractmethod
    def collate(self, processor: Any) -> Collate:
        """The function that makes a padded batch of prepared rows."""

    @abstractmethod
    def preprocess(self, examples: Sequence[Any], processor: Any, max_length: int) -> dict[str, np.ndarray]:
        """User's examples (strings, pairs of strings, images, ...) to a batch, without labels."""

    @abstractmethod
    def grid_batch(self, processor: Any, batch: int, sequence: int, seed: int) -> dict[str, np.ndarray]:
        """A made-up batch of exactly this shape, for latencies; `sequence` means nothing for images."""

    @abstractmethod
    def check_compatible(self, student: Any, teacher: Any) -> str | None:
        """Why a teacher's processor gives other inputs than the student's, or None."""

    @abstractmethod
    def predictions(self, outputs: Mapping[str, np.ndarray], batch: Batch, labels: Labels) -> Columns:
        """What is kept of a batch's outputs, row by row: `prediction`, `label` where the batch has labels, and more.

        Whatever the size of the outputs, it should be little: these columns of a whole split are held in memory.
        """

    def gather(self, kept: Columns, rows: Dataset) -> Columns:
        """Answers of the prepared rows of a split, in the order of `row_id`, to answers of its rows."""
        return kept

    @abstractmethod
    def answers(self, kept: Columns, examples: Sequence[Any], processor: Any, labels: Labels) -> list[Any]:
        """What `preprocess`, the model and `predictions` made of a user's examples, as a person reads it."""

    @abstractmethod
    def metrics(self, labels: Labels) -> tuple[Metric, ...]:
        """The metrics that mean something for these labels, the default first."""

    def decisions(self, kept: Columns, labels: Labels) -> Decisions | None:
        """These answers (see `gather`) one by one, where each is right or wrong by itself; by default none is."""
        return None

    @abstractmethod
    def statistic(self, metric: Metric, kept: Columns, labels: Labels) -> Statistic:
        """A metric of these answers (see `gather`) as a function of how often each row counts."""
