"""Flips against a loop over rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from hfcompress.pipeline.flips import MOST_LISTED, answers_are_private, flips_of
from hfcompress.tasks.columns import Ragged

NAMES = ("a", "b", "c")


def verdict(label: Any, before: Any, after: Any) -> str | None:
    """What became of one answer."""
    if before == after:
        return None
    return "lost" if before == label else "won" if after == label else "changed"


def columns(label: Any, prediction: Any, **more: Any) -> dict[str, Any]:
    return {"row_id": np.arange(len(label)) + 100, "label": label, "prediction": prediction, **more}


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(0).integers(0, 3, size=(3, 60)))  # type: ignore[return-value]


def test_one_class_a_row_flips_as_a_loop_says(drawn: tuple[np.ndarray, ...]) -> None:
    label, before, after = drawn
    found = flips_of(("int8", "fp32"), columns(label, after), columns(label, before), NAMES)
    assert found is not None
    expected = {
        row + 100: (
            NAMES[label[row]],
            NAMES[before[row]],
            NAMES[after[row]],
            verdict(label[row], before[row], after[row]),
        )
        for row in range(60)
        if before[row] != after[row]
    }
    assert {flip.row: (flip.label, flip.before, flip.after, flip.verdict) for flip in found.listed} == expected
    assert (found.answers, found.unit) == (60, "rows")
    counted = Counter((flip[0], flip[3]) for flip in expected.values())
    for name in NAMES:
        for what in ("lost", "won", "changed"):
            assert getattr(found.by_class[name], what) == counted[name, what]
    assert found.total.lost == sum(count for (_, what), count in counted.items() if what == "lost")


def test_lost_ones_come_first_and_all_are_counted_where_few_are_listed() -> None:
    label = np.zeros(500, dtype=np.int64)
    before, after = np.array([0, 1] * 250), np.array([1, 0] * 250)
    found = flips_of(("int8", "fp32"), columns(label, after), columns(label, before), NAMES)
    assert found is not None
    assert {flip.verdict for flip in found.listed} == {"lost"}
    assert len(found.listed) == MOST_LISTED
    assert (found.total.lost, found.total.won) == (250, 250)


def test_words_flip_one_by_one_with_their_place_in_the_row(drawn: tuple[np.ndarray, ...]) -> None:
    lengths = np.array([10, 0, 30, 20])
    label, before, after = (Ragged(values, lengths) for values in drawn)
    rows = {"row_id": np.array([7, 8, 9, 11])}
    found = flips_of(
        ("int8", "fp32"),
        {**rows, "label": label, "prediction": after},
        {**rows, "label": label, "prediction": before},
        NAMES,
    )
    assert found is not None
    parts = zip([7, 8, 9, 11], label.split(), before.split(), after.split(), strict=True)
    expected = {
        (row, place, verdict(*each))
        for row, *answers in parts
        for place, each in enumerate(zip(*answers, strict=True))
        if verdict(*each)
    }
    assert {(flip.row, flip.word, flip.verdict) for flip in found.listed} == expected
    assert (found.answers, found.unit) == (60, "words")


def test_a_set_of_classes_is_right_as_a_whole() -> None:
    label, before, after = (
        np.array([[1, 0, 1], [0, 0, 0]]),
        np.array([[1, 0, 1], [0, 1, 0]]),
        np.array([[1, 0, 0], [0, 1, 1]]),
    )
    found = flips_of(("int8", "fp32"), columns(label.astype(np.float32), after), columns(label, before), NAMES)
    assert found is not None
    assert [(f.label, f.before, f.after, f.verdict, f.classes) for f in found.listed] == [
        ("a, c", "a, c", "a", "lost", ("a", "c")),
        ("none", "b", "b, c", "changed", ()),
    ]
    assert (found.by_class["a"].lost, found.by_class["b"].lost, found.total.lost) == (1, 0, 1)


def test_answers_in_words_flip_by_whether_they_match_a_gold_answer() -> None:
    def kept(answers: list[str], exact: list[int]) -> dict[str, Any]:
        said = np.array(answers, dtype=object)
        return {"row_id": np.arange(3), "prediction": said, "exact_match": np.array(exact), "f1": np.ones(3)}

    before, after = kept(["Ada", "1815", "x"], [1, 0, 0]), kept(["in London", "1815", "y"], [0, 0, 0])
    found = flips_of(("int8", "fp32"), after, before, ())
    assert found is not None
    assert [(f.row, f.before, f.after, f.verdict) for f in found.listed] == [
        (0, "Ada", "in London", "lost"),
        (2, "x", "y", "changed"),
    ]
    assert answers_are_private(after)


@pytest.mark.parametrize(
    "ours",
    [
        {"row_id": np.arange(4), "label": np.ones(4, np.float32), "prediction": np.zeros(4, np.float32)},
        {"row_id": np.arange(4), "prediction": np.zeros(4, np.int64)},
        {"row_id": np.arange(4), "label": np.ones(4, int), "prediction": np.ones(4, int), "nll": np.ones(4)},
    ],
    ids=["regression", "no labels", "tokens"],
)
def test_numbers_tokens_and_answers_without_labels_have_no_flips(ours: dict[str, Any]) -> None:
    assert flips_of(("int8", "fp32"), ours, ours, NAMES) is None


def test_answers_to_other_rows_are_not_compared() -> None:
    ours = columns(np.zeros(3, int), np.zeros(3, int))
    assert flips_of(("int8", "fp32"), ours, {**ours, "row_id": np.arange(3)}, NAMES) is None
