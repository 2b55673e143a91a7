"""Labels: from what a dataset holds to class ids that the model knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hfcompress.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Labels:
    """Class names by id, and the id of each raw value.

    Attributes:
        names: class names in the order of their ids.
        ids: raw value of the label column -> class id.
    """

    names: tuple[str, ...]
    ids: dict[Any, int]

    def encode(self, raw: Sequence[Any], where: str, row_ids: Sequence[int] | None = None) -> np.ndarray:
        """Raw values to class ids, shape (N,) int64.

        Args:
            raw: values of the label column.
            where: what holds them, as the start of a sentence.
            row_ids: what an error calls the rows; default: their positions.

        Raises:
            DataError: a value that no class has, with the row.
        """
        for row, value in zip(row_ids or range(len(raw)), raw, strict=True):
            if value not in self.ids:
                known = ", ".join(repr(value) for value in list(self.ids)[:10])
                raise DataError(f"{where} holds the label {value!r} in row {row}, which is none of: {known}")
        return np.fromiter((self.ids[value] for value in raw), dtype=np.int64, count=len(raw))


def labels_of_data(rows: Dataset, where: str) -> Labels:
    """The classes that a label column holds: a `ClassLabel`, strings, or integers 0..n-1.

    Raises:
        DataError: other types, integers that are not 0..n-1, a single class, or rows without a label.
    """
    import datasets

    feature = rows.features["label"]
    if isinstance(feature, datasets.ClassLabel):
        if feature.num_classes < 2:
            raise DataError(f"{where} knows a single class, {feature.names}; classification needs two or more")
        return Labels(tuple(feature.names), {index: index for index in range(feature.num_classes)})
    values = set(rows.unique("label"))
    if None in values:
        raise DataError(f"{where} has rows without a label; remove them or fill them in")
    if all(isinstance(value, str) for value in values):
        names = tuple(sorted(values))
    elif all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        names = _integer_names(values, where)
    else:
        kinds = sorted({type(value).__name__ for value in values})
        raise DataError(f"{where} should hold class names or integers 0..n-1, got {', '.join(kinds)}")
    if len(names) < 2:
        raise DataError(f"{where} holds a single class, {next(iter(values))!r}; classification needs two or more")
    raw = sorted(values)
    return Labels(names, {value: index for index, value in enumerate(raw)})


def _integer_names(values: set[int], where: str) -> tuple[str, ...]:
    found = sorted(int(value) for value in values)
    if found != list(range(len(found))):
        shown = ", ".join(map(str, found[:10])) + (", ..." if len(found) > 10 else "")
        raise DataError(f"{where} should hold the labels 0..n-1, got {shown}; renumber them, or use class names")
    return tuple(f"LABEL_{value}" for value in found)


def align(labels: Labels, model_names: Sequence[str]) -> Labels | None:
    """The data's labels in the order of a model's classes, or None when they do not fit.

    Names are compared without regard to case. A model or a dataset that has no real names (`LABEL_0`, integers) is
    taken by number.
    """
    if len(labels.names) > len(model_names):
        return None
    if _generic(labels.names) or _generic(model_names):
        names = tuple(labels.names) if _generic(model_names) and len(labels.names) == len(model_names) else model_names
        return Labels(tuple(names), labels.ids)
    order = {name.casefold(): index for index, name in enumerate(model_names)}
    folded = {name.casefold() for name in labels.names}
    if len(folded) < len(labels.names) or len(order) < len(model_names) or not folded <= set(order):
        return None  # two names that differ in case only would become one class
    return Labels(tuple(model_names), {raw: order[labels.names[index].casefold()] for raw, index in labels.ids.items()})


def _generic(names: Sequence[str]) -> bool:
    return all(name == f"LABEL_{index}" for index, name in enumerate(names))
