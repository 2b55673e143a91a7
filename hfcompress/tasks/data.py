"""The rows of a run, ready to be batched for any processor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hfcompress.errors import DataError
from hfcompress.recipe.data import Split
from hfcompress.tasks.base import Collate, Task
from hfcompress.tasks.dataset import Rows
from hfcompress.tasks.labels import Labels

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Data:
    """Splits, labels and the task that reads them.

    Attributes:
        task: how rows become batches.
        rows: the splits, raw.
        labels: what the rows are labelled with; classes in the order of their ids.
        max_length: tokens after which text is cut.
        seed: of what preparing rows draws, such as the masks of masked-lm.
    """

    task: Task
    rows: Rows
    labels: Labels
    max_length: int
    seed: int = 0

    def check_labels(self) -> None:
        """Encode the labels of every split once, so that a bad one is found before any long work.

        Raises:
            DataError: with the split, the row and the value; or splits that number their classes differently.
        """
        self.task.check_splits(self.rows.splits)
        for split in self.rows.splits:
            self._encoded(split)

    def prepared(self, split: Split, processor: Any, *, unlabeled: bool = False) -> Dataset:
        """The rows of a split as model inputs, with what the model learns and `row_id`, which no two of them share.

        Args:
            split: the role of the split.
            processor: the tokenizer or image processor.
            unlabeled: append the run's unlabelled rows, where it has any. Their labels say that they have none: -100
                where labels are integers, NaN where they are floating point numbers.
        """
        if split not in self.rows.splits:
            raise DataError(f"the recipe names no split `{split}` under data.splits; add it")
        rows = self._encoded(split)
        if unlabeled and self.rows.unlabeled is not None:
            rows = self._with_unlabeled(rows, self.rows.unlabeled)
        return self.task.prepare(rows, processor, self.max_length, self.seed)

    def sampled(self, split: Split, rows: int, seed: int) -> Data:
        """The same with at most so many rows of a split, chosen by a seed, in their order; of other splits, nothing."""
        whole = self.rows.splits[split]
        chosen = np.sort(np.random.default_rng(seed).permutation(len(whole))[:rows])
        return replace(self, rows=replace(self.rows, splits={split: whole.select(chosen)}))

    def _with_unlabeled(self, rows: Dataset, unlabeled: Dataset) -> Dataset:
        from datasets import concatenate_datasets

        more = self.task.without_labels(unlabeled, self.labels).select_columns(rows.column_names)
        if more.features != rows.features:  # a string may be a large one; a cast would copy images that need none
            more = more.cast(rows.features)
        return concatenate_datasets([rows, more])

    def _encoded(self, split: Split) -> Dataset:
        return self.task.encode(self.rows.splits[split], self.labels, f"split `{split}`")

    def batches(self, prepared: Dataset, processor: Any, size: int) -> Iterator[dict[str, np.ndarray]]:
        """Batches of at most `size` rows, longest rows first where rows have a length, padded to their longest row."""
        return length_sorted_batches(prepared, self.task.collate(processor), size)

    def identity(self, *splits: str) -> dict[str, Any]:
        """What decides the prepared rows of these splits, besides the processor: plain data for a key."""
        labels = [self.labels.problem, list(self.labels.names)]
        return {
            "rows": {split: self.rows.digests[split] for split in splits if split in self.rows.digests},
            "labels": labels,
            "max_length": self.max_length,
            **({"seed": self.seed} if self.task.draws else {}),
        }


def length_sorted_batches(prepared: Dataset, collate: Collate, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Batches of at most `size` rows; see `Data.batches`."""
    order = np.arange(len(prepared))
    if "length" in prepared.column_names:
        order = np.argsort(-np.asarray(prepared["length"]), kind="stable")
    return collated(prepared, collate, (order[start : start + size] for start in range(0, len(order), size)))


def collated(prepared: Dataset, collate: Collate, groups: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """A batch of each group of rows, which are named by their places."""
    for group in groups:
        rows = prepared[group]
        names = list(rows)
        yield collate([{name: rows[name][i] for name in names} for i in range(len(rows[names[0]]))])
