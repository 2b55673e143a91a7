"""Labels: from what a dataset holds to what the model learns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfcompress.errors import DataError
from hfcompress.models.folder import Problem, label_names, problem_of


@dataclass(frozen=True)
class Labels:
    """What the rows of a run are labelled with.

    Attributes:
        names: class names in the order of their ids; `LABEL_0` alone for regression, none for a task without classes.
        ids: raw value of the label column -> class id.
        problem: of sequence and image classification, as `problem_type` of a config has it; None for other tasks.
        vectors: whether a multi-label column holds one 0 or 1 for each class in place of the classes that a row has.
    """

    names: tuple[str, ...]
    ids: Mapping[Any, int]
    problem: Problem | None = "single_label_classification"
    vectors: bool = False

    def encode(self, raw: Sequence[Any], where: str, row_ids: Sequence[int] | None = None) -> np.ndarray:
        """Raw values to what the model learns.

        Args:
            raw: values of the label column.
            where: what holds them, as the start of a sentence.
            row_ids: what an error calls the rows; default: their positions.

        Returns:
            Class ids (N,) int64; of several classes 0 and 1 (N, classes) float32; of regression (N,) float32.

        Raises:
            DataError: a value that means nothing here, with the row.
        """
        numbered = list(zip(row_ids or range(len(raw)), raw, strict=True))
        match self.problem:
            case "regression":
                return self._encode_numbers(numbered, where)
            case "multi_label_classification":
                return self._encode_sets(numbered, where)
            case _:
                return self.encode_classes(numbered, where)

    def encode_classes(self, numbered: Sequence[tuple[int, Any]], where: str) -> np.ndarray:
        """(row, raw value of one class) to class ids, (N,) int64."""
        for row, value in numbered:
            if value not in self.ids:
                known = ", ".join(repr(value) for value in list(self.ids)[:10])
                raise DataError(f"{where} holds the label {value!r} in row {row}, which is none of: {known}")
        return np.fromiter((self.ids[value] for _, value in numbered), dtype=np.int64, count=len(numbered))

    def _encode_numbers(self, numbered: Sequence[tuple[int, Any]], where: str) -> np.ndarray:
        for row, value in numbered:
            if not isinstance(value, int | float) or isinstance(value, bool) or not np.isfinite(value):
                raise DataError(
                    f"{where} holds the label {value!r} in row {row}, where regression needs a finite number"
                )
        return np.array([value for _, value in numbered], dtype=np.float32)

    def _encode_sets(self, numbered: Sequence[tuple[int, Any]], where: str) -> np.ndarray:
        encoded = np.zeros((len(numbered), len(self.names)), dtype=np.float32)
        for index, (row, value) in enumerate(numbered):
            if value is None:
                raise DataError(f"{where} has no label in row {row}; a row of no class is an empty list")
            if not self.vectors:
                encoded[index, self.encode_classes([(row, each) for each in value], where)] = 1
            elif len(value) == len(self.names) and set(value) <= {0, 1}:
                encoded[index] = value
            else:
                raise DataError(
                    f"{where} should hold {len(self.names)} times 0 or 1 in each row, got {list(value)} in row {row}"
                )
        return encoded

    def no_label(self) -> Any:
        """What stands in place of an encoded label where a row has none: -100, NaN, or a row of NaN."""
        match self.problem:
            case "regression":
                return float("nan")
            case "multi_label_classification":
                return [float("nan")] * len(self.names)
            case _:
                return -100


def classes_config(labels: Labels) -> dict[str, Any]:
    """The number and names of classes as a config has them."""
    return {
        "num_labels": len(labels.names),
        "id2label": dict(enumerate(labels.names)),
        "label2id": {name: index for index, name in enumerate(labels.names)},
    }


def describe(labels: Labels) -> str:
    """What labels are, in a message: the names of the classes, and the problem where it is not one class a row."""
    names = ", ".join(labels.names[:20]) + (", ..." if len(labels.names) > 20 else "")
    match labels.problem:
        case "regression":
            return "numbers, which is regression"
        case "multi_label_classification":
            return f"several of {names} a row, which is multi-label classification"
        case _:
            return names or "no classes"


def misfit(found: Labels, known: Labels, model: str) -> str:
    """Why a model does not know the labels that were found, and half of the way out."""
    if found.problem != known.problem:
        return (
            f"holds {describe(found)}, but the model {model} is fine-tuned for {known.problem}, by the `problem_type` "
            f"or the labels of its config; give labels of that kind"
        )
    return (
        f"has the labels {describe(found)}, which the model {model} does not know: it has {describe(known)}; "
        "rename the data's labels"
    )


#: Of a task whose labels are no classes.
NO_CLASSES = Labels((), {}, None)


def labels_of_model(config: Mapping[str, Any]) -> Labels:
    """The labels of a model with a classification head, by its config. They encode nothing: `ids` is empty."""
    return Labels(label_names(config), {}, problem_of(config))


def align(labels: Labels, model: Labels) -> Labels | None:
    """The data's labels in the order of a model's classes, or None when they do not fit.

    Names are compared without regard to case. A model or a dataset that has no real names (`LABEL_0`, integers) is
    taken by number; so is a model with one name for two classes (ImageNet has two cranes), where its other names stand
    at the same numbers.
    """
    if labels.problem != model.problem or len(labels.names) > len(model.names):
        return None
    if labels.problem == "regression":
        return labels if len(model.names) == 1 else None
    if _generic(labels.names) or _generic(model.names):
        same_number = len(labels.names) == len(model.names)
        if labels.vectors and not same_number:
            return None
        return _named(labels, labels.names if _generic(model.names) and same_number else model.names, labels.ids)
    order = {name.casefold(): index for index, name in enumerate(model.names)}
    folded = {name.casefold() for name in labels.names}
    if len(order) < len(model.names) and len(folded) == len(labels.names) and _same_places(labels.names, model.names):
        return labels
    if len(folded) < len(labels.names) or len(order) < len(model.names) or not folded <= set(order):
        return None  # two names that differ in case only would become one class
    ids = {raw: order[labels.names[index].casefold()] for raw, index in labels.ids.items()}
    return _named(labels, model.names, ids)


def _named(labels: Labels, names: Sequence[str], ids: Mapping[Any, int]) -> Labels:
    return Labels(tuple(names), ids, labels.problem, labels.vectors)


def _same_places(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether two lists of names are one list, but for those that stand in the second one twice."""
    if len(ours) != len(theirs):
        return False
    folded = [name.casefold() for name in theirs]
    known = Counter(folded)
    return all(known[name] > 1 or our.casefold() == name for our, name in zip(ours, folded, strict=True))


def _generic(names: Sequence[str]) -> bool:
    return all(name == f"LABEL_{index}" for index, name in enumerate(names))
