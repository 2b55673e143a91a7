"""The rows of a run, ready to be batched for any processor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    """Splits, classes and the task that reads them.

    Attributes:
        task: how rows become batches.
        rows: the splits, raw.
        labels: the classes, in the order of their ids.
        max_length: tokens after which text is cut.
    """

    task: Task
    rows: Rows
    labels: Labels
    max_length: int

    def check_labels(self) -> None:
        """Encode the labels of every split once, so that a bad one is found before any long work.

        Raises:
            DataError: with the split, the row and the value; or splits that number their classes differently.
        """
        self._check_class_names()
        for split, rows in self.rows.splits.items():
            if any(value not in self.labels.ids for value in rows.unique("label")):
                self.labels.encode(list(rows["label"]), f"split `{split}`", list(rows["row_id"]))

    def _check_class_names(self) -> None:
        # The ids of a `ClassLabel` mean what its own split says they mean.
        named = {split: getattr(rows.features["label"], "names", None) for split, rows in self.rows.splits.items()}
        first = next(iter(named))
        for split, names in named.items():
            if names != named[first]:
                raise DataError(
                    f"split `{split}` has the classes {names} and split `{first}` {named[first]}; give them one order"
                )

    def prepared(self, split: Split, processor: Any) -> Dataset:
        """The rows of a split as model inputs, with `labels` (class ids) and `row_id`."""
        if split not in self.rows.splits:
            raise DataError(f"the recipe names no split `{split}` under data.splits; add it")
        return self.task.prepare(self._encoded(split), processor, self.max_length)

    def _encoded(self, split: Split) -> Dataset:
        # Not `map`, which would copy the images of the split to disk.
        rows = self.rows.splits[split]
        encoded = self.labels.encode(list(rows["label"]), f"split `{split}`", list(rows["row_id"]))
        return rows.remove_columns("label").add_column("label", encoded)

    def batches(self, prepared: Dataset, processor: Any, size: int) -> Iterator[dict[str, np.ndarray]]:
        """Batches of at most `size` rows, longest rows first where rows have a length, padded to their longest row."""
        return length_sorted_batches(prepared, self.task.collate(processor), size)


def length_sorted_batches(prepared: Dataset, collate: Collate, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Batches of at most `size` rows; see `Data.batches`."""
    order = np.arange(len(prepared))
    if "length" in prepared.column_names:
        order = np.argsort(-np.asarray(prepared["length"]), kind="stable")
    for start in range(0, len(order), size):
        rows = prepared[order[start : start + size]]
        names = list(rows)
        yield collate([{name: rows[name][i] for name in names} for i in range(len(rows[names[0]]))])
