"""Labels: what a dataset holds, and the ids that a model knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.errors import DataError
from hfcompress.recipe.data import Split
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import Rows
from hfcompress.tasks.label_columns import labels_of_data
from hfcompress.tasks.labels import Labels, align


def found(values: list[Any]) -> Labels:
    return labels_of_data(Dataset.from_dict({"label": values}), "column `label`")


def class_labels(names: list[str], values: list[int]) -> Dataset:
    return Dataset.from_dict({"label": values}, features=Features({"label": ClassLabel(names=names)}))


def data(labels: Labels | None = None, **splits: Dataset) -> Data:
    rows: dict[Split, Dataset] = {
        name: split.add_column("row_id", np.arange(len(split)) + 100)
        for name, split in splits.items()  # type: ignore[misc]
    }
    known = labels or labels_of_data(rows["train"], "column `label`")
    return Data(get_task("text-classification"), Rows(rows, {}), known, 16)


def test_strings_are_numbered_in_alphabetical_order() -> None:
    assert found(["pos", "neg", "pos"]) == Labels(("neg", "pos"), {"neg": 0, "pos": 1})


def test_integers_keep_their_number() -> None:
    assert found([2, 0, 1, 0]) == Labels(("LABEL_0", "LABEL_1", "LABEL_2"), {0: 0, 1: 1, 2: 2})


def test_a_class_label_keeps_its_names_and_order_even_for_classes_without_rows() -> None:
    rows = class_labels(["pos", "neg", "mixed"], [1, 0])
    assert labels_of_data(rows, "x") == Labels(("pos", "neg", "mixed"), {0: 0, 1: 1, 2: 2})


@pytest.mark.parametrize(
    "values, message",
    [
        ([True, False], "should hold class names or integers 0..n-1, got bool"),
        ([0, 2, 3], "should hold the labels 0..n-1, got 0, 2, 3; renumber them"),
        ([1, 2], "should hold the labels 0..n-1, got 1, 2"),
        (list(range(1, 14)), r"got 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.; renumber"),
        (["only", "only"], "holds a single class, 'only'"),
        ([0, 0], "holds a single class, 0"),
        (["a", None], "rows without a label"),
        ([0, 1, None], "rows without a label"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_with_what_was_found(values: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=f"column `label` {message}|column `label`.*{message}"):
        found(values)


def test_a_class_label_with_a_single_class_is_refused() -> None:
    with pytest.raises(DataError, match="single class"):
        labels_of_data(class_labels(["all"], [0, 0]), "x")


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=2).filter(lambda v: len(set(v)) > 1 and set(v) == set(range(max(v) + 1))))
def test_encoding_integer_labels_changes_nothing(values: list[int]) -> None:
    ids = found(values).encode(values, "x")
    assert ids.tolist() == values
    assert ids.dtype == np.int64


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(max_size=4), min_size=2).filter(lambda values: len(set(values)) > 1))
def test_encoded_names_decode_to_themselves(values: list[str]) -> None:
    labels = found(values)
    assert [labels.names[index] for index in labels.encode(values, "x")] == values


def test_names_are_aligned_whatever_their_case_and_order() -> None:
    labels = found(["Negative", "POSITIVE"])
    assert align(labels, Labels(("positive", "negative"), {})) == Labels(
        ("positive", "negative"), {"Negative": 1, "POSITIVE": 0}
    )


@settings(deadline=None, max_examples=30)
@given(st.permutations(["a", "b", "c", "d"]))
def test_an_aligned_label_has_the_models_own_id_of_its_name(order: list[str]) -> None:
    aligned = align(found(["A", "b", "C", "d"]), Labels(tuple(order), {}))
    assert aligned is not None
    assert {str(raw).lower(): order[index] for raw, index in aligned.ids.items()} == {name: name for name in "abcd"}


def test_a_model_with_one_name_for_two_classes_is_taken_by_number_where_its_other_names_agree() -> None:
    model = Labels(("tench", "crane", "crib", "crane"), {})
    labels = labels_of_data(class_labels(["Tench", "crane", "crib", "crane2"], [3, 1]), "column `label`")
    assert align(labels, model) == labels
    swapped = labels_of_data(class_labels(["crib", "crane", "Tench", "crane2"], [3, 1]), "column `label`")
    assert align(swapped, model) is None
    assert align(found(["tench", "crane", "crib"]), model) is None


def test_a_model_with_more_classes_than_the_data_is_aligned_by_name() -> None:
    aligned = align(found(["neg", "pos"]), Labels(("neg", "neutral", "pos"), {}))
    assert aligned == Labels(("neg", "neutral", "pos"), {"neg": 0, "pos": 2})


def test_a_model_without_names_takes_the_datas_names_by_number() -> None:
    labels = found(["neg", "pos"])
    assert align(labels, Labels(("LABEL_0", "LABEL_1"), {})) == labels


def test_numbered_data_takes_the_models_names() -> None:
    assert align(found([0, 1]), Labels(("neg", "pos"), {})) == Labels(("neg", "pos"), {0: 0, 1: 1})


@pytest.mark.parametrize(
    "values, names",
    [
        (["a", "b", "c"], ("a", "b")),
        (["a", "b"], ("a", "c")),
        ([0, 1, 2], ("neg", "pos")),
        (["Yes", "yes"], ("yes", "no")),
        (["yes", "no"], ("yes", "no", "YES")),
    ],
)
def test_labels_that_the_model_cannot_tell_apart_do_not_fit(values: list[Any], names: tuple[str, ...]) -> None:
    assert align(found(values), Labels(tuple(names), {})) is None


def test_a_label_in_validation_that_train_lacks_is_found_with_its_split_and_row() -> None:
    train = Dataset.from_dict({"label": ["a", "b"]})
    validation = Dataset.from_dict({"label": ["a", "b", "c"]})
    with pytest.raises(DataError, match=r"split `validation` holds the label 'c' in row 102, .*'a', 'b'"):
        data(train=train, validation=validation).check_labels()


def test_a_hidden_label_of_minus_one_is_found() -> None:
    splits = {"train": class_labels(["a", "b"], [0, 1]), "test": class_labels(["a", "b"], [-1, -1])}
    with pytest.raises(DataError, match="split `test` holds the label -1 in row 100"):
        data(**splits).check_labels()


def test_a_missing_label_in_test_is_found() -> None:
    splits = {"train": Dataset.from_dict({"label": ["a", "b"]}), "test": Dataset.from_dict({"label": ["a", None]})}
    with pytest.raises(DataError, match="split `test` holds the label None in row 101"):
        data(**splits).check_labels()


def test_splits_that_number_their_classes_differently_are_refused() -> None:
    splits = {"train": class_labels(["a", "b"], [0, 1]), "validation": class_labels(["b", "a"], [0, 1])}
    with pytest.raises(DataError, match=r"split `validation` has the classes.*one order"):
        data(**splits).check_labels()


def test_sound_labels_pass() -> None:
    rows = Dataset.from_dict({"label": [0, 1]}, features=Features({"label": Value("int32")}))
    data(train=rows, validation=rows).check_labels()
