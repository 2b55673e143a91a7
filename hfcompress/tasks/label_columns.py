"""What a label column holds: one class a row, several, or a number."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hfcompress.errors import DataError
from hfcompress.models.folder import Problem
from hfcompress.recipe.data import Split
from hfcompress.tasks.labels import Labels

if TYPE_CHECKING:
    from datasets import Dataset

#: Rows of lists that are read at once.
_BATCH = 1000


def labels_of_data(rows: Dataset, where: str, problem: Problem | None = None) -> Labels:
    """The labels of the column `label`, told by its type.

    Class names, integers 0..n-1 or a `ClassLabel` are one class a row; lists of them, or lists of 0 and 1, are several;
    floating point numbers are regression.

    Args:
        rows: a dataset with that column.
        where: what holds it, as the start of a sentence.
        problem: what a fine-tuned model says; integers are numbers where it says `regression`.

    Raises:
        DataError: other types, integers that are not 0..n-1, a single class, or rows without a label.
    """
    feature = rows.features["label"]
    if inner_feature(feature) is not None:
        return _of_lists(rows, where)
    kind = str(getattr(feature, "dtype", ""))
    if kind.startswith("float") or (problem == "regression" and "int" in kind and not hasattr(feature, "names")):
        return Labels(("LABEL_0",), {}, "regression")
    if hasattr(feature, "names"):
        return _named(feature.names, where)
    return classes_of(rows.unique("label"), where)


def inner_feature(feature: Any) -> Any | None:
    """The feature of a list's entries, or None for what is no list."""
    if isinstance(feature, list):
        return feature[0]
    return getattr(feature, "feature", None)


def check_same_classes(splits: Mapping[Split, Dataset], column: str) -> None:
    """The ids of a `ClassLabel` mean what its own split says they mean, so all splits must say the same.

    Raises:
        DataError: names the two splits that differ.
    """
    features = {split: rows.features[column] for split, rows in splits.items()}
    first = next(iter(features))
    for split, feature in features.items():
        lists = [inner_feature(each) for each in (feature, features[first])]
        if (lists[0] is None) != (lists[1] is None):
            raise DataError(
                f"column `{column}` of split `{split}` and of split `{first}` should both hold lists or not"
            )
        names, theirs = (
            getattr(each if inner is None else inner, "names", None)
            for each, inner in zip((feature, features[first]), lists, strict=True)
        )
        if names != theirs:
            raise DataError(
                f"split `{split}` has the classes {names} and split `{first}` {theirs}; give them one order"
            )


def classes_of(values: Iterable[Any], where: str) -> Labels:
    """The classes among raw values: all names, or all integers 0..n-1.

    Raises:
        DataError: see `labels_of_data`.
    """
    distinct = set(values)
    if None in distinct:
        raise DataError(f"{where} has rows without a label; remove them or fill them in")
    if all(isinstance(value, str) for value in distinct):
        names = tuple(sorted(distinct))
    elif all(isinstance(value, int) and not isinstance(value, bool) for value in distinct):
        names = _integer_names(distinct, where)
    else:
        kinds = sorted({type(value).__name__ for value in distinct})
        raise DataError(f"{where} should hold class names or integers 0..n-1, got {', '.join(kinds)}")
    if len(names) < 2:
        found = repr(next(iter(distinct))) if distinct else "none"
        raise DataError(f"{where} holds a single class, {found}; classification needs two or more")
    return Labels(names, {value: index for index, value in enumerate(sorted(distinct))})


def _named(names: list[str], where: str) -> Labels:
    if len(names) < 2:
        raise DataError(f"{where} knows a single class, {names}; classification needs two or more")
    return Labels(tuple(names), {index: index for index in range(len(names))})


def _integer_names(values: set[int], where: str) -> tuple[str, ...]:
    found = sorted(int(value) for value in values)
    if found != list(range(len(found))):
        shown = ", ".join(map(str, found[:10])) + (", ..." if len(found) > 10 else "")
        raise DataError(f"{where} should hold the labels 0..n-1, got {shown}; renumber them, or use class names")
    return tuple(f"LABEL_{value}" for value in found)


def _of_lists(rows: Dataset, where: str) -> Labels:
    named = getattr(inner_feature(rows.features["label"]), "names", None)
    if named is not None:
        found = _named(named, where)
    elif (width := _vector_width(rows)) is not None:
        names = tuple(f"LABEL_{index}" for index in range(width))
        return Labels(names, {index: index for index in range(width)}, "multi_label_classification", vectors=True)
    else:
        found = classes_of(itertools.chain.from_iterable(lists_of(rows, "label", where)), where)
    return Labels(found.names, found.ids, "multi_label_classification")


def lists_of(rows: Dataset, column: str, where: str) -> Iterator[list[Any]]:
    """The lists of a column, row by row.

    Raises:
        DataError: a row holds none.
    """
    for batch in rows.select_columns([column, "row_id"]).iter(batch_size=_BATCH):
        for row, value in zip(batch["row_id"], batch[column], strict=True):
            if value is None:
                raise DataError(f"{where} has no list in row {row}; remove such rows, or fill in an empty list")
            yield value


def _vector_width(rows: Dataset) -> int | None:
    """How many classes there are when every row says 0 or 1 of each; None when rows list the classes that they have.

    A list of ids names each class once, so lists of 0 and 1 alone that are equally long are such vectors.
    """
    widths: set[int] = set()
    for value in rows.select_columns(["label"]).iter(batch_size=_BATCH):
        for row in value["label"]:
            widths.add(len(row or ()))
            if not row or len(widths) > 1 or not set(row) <= {0, 1}:
                return None
    width = widths.pop()
    return width if width >= 2 else None
