"""Several classes a row and regression: what a label column says, what a batch holds, what an answer is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress import load
from hfcompress.errors import DataError, InputError
from hfcompress.models.loading import load_model
from hfcompress.recipe.data import DataConfig
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.label_columns import labels_of_data
from hfcompress.tasks.labels import Labels, align
from tests import tiny

TASK = get_task("text-classification")
SEVERAL, NUMBERS = "multi_label_classification", "regression"


def column(values: list[Any], feature: Any = None) -> Dataset:
    features = None if feature is None else Features({"label": feature, "row_id": Value("int64")})
    return Dataset.from_dict({"label": values, "row_id": list(range(10, 10 + len(values)))}, features=features)


def encoded(values: list[Any], feature: Any = None) -> list[Any]:
    rows = column(values, feature)
    return TASK.encode(rows, labels_of_data(rows, "column `label`"), "split `train`")["label"][:]


@pytest.mark.parametrize(
    "values, feature, names, expected",
    [
        ([["b"], [], ["a", "b"]], None, ("a", "b"), [[0, 1], [0, 0], [1, 1]]),
        ([[2], [0, 1], []], None, ("LABEL_0", "LABEL_1", "LABEL_2"), [[0, 0, 1], [1, 1, 0], [0, 0, 0]]),
        ([[0, 1, 1], [1, 0, 0]], None, ("LABEL_0", "LABEL_1", "LABEL_2"), [[0, 1, 1], [1, 0, 0]]),
        ([[0.0, 1.0], [1.0, 1.0]], None, ("LABEL_0", "LABEL_1"), [[0, 1], [1, 1]]),
        ([[1], [0, 1]], Sequence(ClassLabel(names=["x", "y"])), ("x", "y"), [[0, 1], [1, 1]]),
    ],
)
def test_lists_of_classes_and_vectors_become_one_number_a_class(
    values: list[Any], feature: Any, names: tuple[str, ...], expected: list[list[int]]
) -> None:
    found = labels_of_data(column(values, feature), "column `label`")
    assert (found.names, found.problem) == (names, SEVERAL)
    assert encoded(values, feature) == expected


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sets(st.sampled_from("abcd")).map(sorted), min_size=1).filter(lambda rows: len(set().union(*rows)) > 1)
)
def test_encoded_sets_decode_to_themselves(values: list[list[str]]) -> None:
    rows = column(values)
    labels = labels_of_data(rows, "column `label`")
    batch = {"labels": np.array(TASK.encode(rows, labels, "x")["label"][:], dtype=np.float32)}
    kept = TASK.predictions({"logits": 4 * batch["labels"] - 2}, batch, labels)
    assert TASK.answers(kept, [""] * len(values), None, labels) == values


@pytest.mark.parametrize("values, feature", [([0.5, 2.0], None), ([0.5, 2.0], Value("float32"))])
def test_floating_point_numbers_are_regression(values: list[Any], feature: Any) -> None:
    found = labels_of_data(column(values, feature), "column `label`")
    assert (found.names, found.problem) == (("LABEL_0",), NUMBERS)
    assert encoded(values, feature) == values


def test_integers_are_numbers_where_the_model_is_one_of_regression() -> None:
    rows = column([3, 5, 9])
    assert labels_of_data(rows, "column `label`", "regression").problem == NUMBERS
    with pytest.raises(DataError, match=r"got 3, 5, 9"):
        labels_of_data(rows, "column `label`")


@pytest.mark.parametrize(
    "known, values, message",
    [
        (Labels(("a", "b"), {"a": 0, "b": 1}, "multi_label_classification"), [["a"], ["c"]], "the label 'c' in row 11"),
        (Labels(("a", "b"), {"a": 0, "b": 1}, "multi_label_classification"), [["a"], None], "no label in row 11"),
        (Labels(("a", "b"), {}, "multi_label_classification", vectors=True), [[0, 1], [0, 2]], r"\[0, 2\] in row 11"),
        (Labels(("a", "b"), {}, "multi_label_classification", vectors=True), [[0, 1], [0]], r"2 times 0 or 1"),
        (
            Labels(("LABEL_0",), {}, "regression"),
            [1.0, float("nan")],
            "the label nan in row 11, where regression needs",
        ),
        (Labels(("LABEL_0",), {}, "regression"), [1.0, None], "the label None in row 11"),
    ],
)
def test_a_label_that_means_nothing_is_named_with_its_row(known: Labels, values: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TASK.encode(column(values), known, "split `test`")


def test_images_have_one_class_each() -> None:
    with pytest.raises(DataError, match="image-classification takes one class a row"):
        get_task("image-classification").labels_of(column([0.5, 1.5]), "column `label`", None)


def test_a_model_for_another_problem_does_not_fit() -> None:
    one, several = Labels(("a", "b"), {"a": 0}), Labels(("a", "b"), {"a": 0}, "multi_label_classification")
    assert align(one, several) is None
    assert align(several, one) is None
    number = Labels(("LABEL_0",), {}, "regression")
    assert align(number, one) is None
    assert align(number, Labels(("score",), {}, "regression")) is number
    vectors = Labels(("LABEL_0", "LABEL_1"), {0: 0, 1: 1}, "multi_label_classification", vectors=True)
    assert align(vectors, Labels(("a", "b", "c"), {}, "multi_label_classification")) is None
    assert align(vectors, several) == Labels(("a", "b"), {0: 0, 1: 1}, "multi_label_classification", vectors=True)


def loaded(path: Path) -> Data:
    rows = load_rows(DataConfig(path=str(path), splits={"train": "train"}), TASK.name, 0)
    return Data(TASK, rows, labels_of_data(rows.splits["train"], "column `label`"), 32)


@pytest.mark.parametrize("problem", [SEVERAL, NUMBERS])
def test_a_model_learns_what_a_batch_holds(problem: str, encoder: Path, tmp_path: Path) -> None:
    save = tiny.save_topics if problem == SEVERAL else tiny.save_scores
    data = loaded(save(tmp_path, train=24, validation=2, test=2))
    model = load_model(encoder, TASK.name, labels=data.labels)
    assert (model.config.problem_type, model.config.num_labels) == (problem, len(data.labels.names))
    tokenizer = TASK.load_processor(encoder)
    (batch,) = data.batches(data.prepared("train", tokenizer), tokenizer, 100)
    assert batch["labels"].dtype == np.float32
    assert batch["labels"].shape == ((24, 3) if problem == SEVERAL else (24,))
    tensors = {name: torch.from_numpy(array) for name, array in batch.items() if name != "row_id"}
    found = model(**tensors)
    logits, labels = found.logits.squeeze(-1), tensors["labels"]
    expected = (
        torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        if problem == SEVERAL
        else torch.nn.functional.mse_loss(logits, labels)
    )
    torch.testing.assert_close(found.loss, expected)


def test_a_loaded_model_answers_with_lists_or_numbers(tmp_path: Path) -> None:
    texts = ["good word1", "bad", "word2 word3"]
    several = Labels(("x", "y", "z"), {}, "multi_label_classification")
    model = load(tiny.save_bert(tmp_path / "several", head=True, labels=several), threads=1)
    logits = model.predict(model.preprocess(texts))["logits"]
    assert model.answer(texts) == [
        [name for name, logit in zip("xyz", row, strict=True) if logit > 0] for row in logits
    ]
    with pytest.raises(InputError, match="is for multi_label_classification; call `answer`"):
        model.classify(texts)
    number = load(tiny.save_bert(tmp_path / "one", head=True, labels=Labels(("s",), {}, "regression")), threads=1)
    assert number.answer(texts) == pytest.approx(number.predict(number.preprocess(texts))["logits"][:, 0].tolist())


def test_the_metrics_of_a_task_depend_on_its_labels() -> None:
    assert TASK.metrics(Labels(("a", "b"), {}))[0] == "accuracy"
    assert TASK.metrics(Labels(("a", "b"), {}, "multi_label_classification"))[0] == "f1_micro"
    assert TASK.metrics(Labels(("a",), {}, "regression")) == ("pearson", "spearman", "mse")
    several = {"label": np.zeros((1, 2)), "prediction": np.zeros((1, 2))}
    with pytest.raises(ValueError, match="no metric pearson"):
        TASK.statistic("pearson", several, Labels(("a", "b"), {}, "multi_label_classification"))
