"""Flips against a loop over rows: those that are listed, and that the counts of `results.json` are of the same ones."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from hfcompress.pipeline.flips import MOST_LISTED, count_flips, list_flips
from hfcompress.recipe.tasks import TaskName
from hfcompress.report.evidence import Flip
from hfcompress.tasks import get_task
from hfcompress.tasks.columns import Ragged
from hfcompress.tasks.data import Data
from hfcompress.tasks.labels import Labels

NAMES = ("a", "b", "c")
Kept = dict[str, Any]


def data(task: TaskName = "text-classification", problem: Any = "single_label_classification") -> Data:
    return cast("Data", SimpleNamespace(task=get_task(task), labels=Labels(NAMES, {}, problem)))


def verdict(label: Any, before: Any, after: Any) -> str | None:
    """What became of one answer."""
    if before == after:
        return None
    return "lost" if before == label else "won" if after == label else "changed"


def kept(label: Any, prediction: Any, **more: Any) -> Kept:
    return {"row_id": np.arange(len(label)) + 100, "label": label, "prediction": prediction, **more}


def listed(before: Kept, after: Kept, of: Data) -> tuple[Flip, ...]:
    return list_flips({"fp32": before, "int8": after}, ("int8", "fp32"), of)


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(0).integers(0, 3, size=(3, 60)))  # type: ignore[return-value]


def test_one_class_a_row_flips_as_a_loop_says(drawn: tuple[np.ndarray, ...]) -> None:
    label, before, after = drawn
    found = listed(kept(label, before), kept(label, after), data())
    expected = {
        row: (NAMES[truth], NAMES[old], NAMES[new], verdict(truth, old, new))
        for row, (truth, old, new) in enumerate(zip(label, before, after, strict=True), 100)
        if old != new
    }
    assert {flip.row: (flip.label, flip.before, flip.after, flip.verdict) for flip in found} == expected
    assert all(flip.about == flip.label for flip in found)


@pytest.mark.parametrize("kind", ["classes", "words", "sets", "texts"])
def test_counts_are_of_the_flips_that_are_listed(kind: str, drawn: tuple[np.ndarray, ...]) -> None:
    before, after, of = _answers(kind, drawn)
    flips, classes = count_flips({"fp32": before, "int8": after}, ("int8", "fp32"), of, "test")
    found = listed(before, after, of)
    verdicts, by_class = Counter(flip.verdict for flip in found), Counter((f.about, f.verdict) for f in found)
    assert flips is not None
    assert (flips.lost, flips.won, flips.changed) == (verdicts["lost"], verdicts["won"], len(found))
    assert flips.lost > 0
    assert flips.won > 0
    assert {each.label: (each.lost, each.won) for each in classes} == {
        name: (by_class[name, "lost"], by_class[name, "won"]) for name in (NAMES if kind != "texts" else ())
    }


def _answers(kind: str, drawn: tuple[np.ndarray, ...]) -> tuple[Kept, Kept, Data]:
    label, before, after = drawn
    match kind:
        case "classes":
            return kept(label, before), kept(label, after), data()
        case "words":
            ragged = [Ragged(values, np.array([10, 0, 30, 20])) for values in drawn]
            return kept(ragged[0], ragged[1]), kept(ragged[0], ragged[2]), data("token-classification", None)
        case "sets":
            sets = [(values % 2).reshape(20, 3) for values in drawn]
            of = data(problem="multi_label_classification")
            return kept(sets[0].astype(np.float32), sets[1]), kept(sets[0].astype(np.float32), sets[2]), of
        case _:
            old, new = (
                kept(label, each.astype(str), exact_match=(each == label).astype(float)) for each in (before, after)
            )
            return old, new, data("question-answering", None)


def test_lost_ones_come_first_and_few_are_listed() -> None:
    label = np.zeros(500, dtype=np.int64)
    before, after = np.array([0, 1] * 250), np.array([1, 0] * 250)
    found = listed(kept(label, before), kept(label, after), data())
    assert {flip.verdict for flip in found} == {"lost"}
    assert len(found) == MOST_LISTED


def test_words_flip_one_by_one_with_their_place_in_the_row(drawn: tuple[np.ndarray, ...]) -> None:
    lengths, rows = np.array([10, 0, 30, 20]), {"row_id": np.array([7, 8, 9, 11])}
    label, before, after = (Ragged(values, lengths) for values in drawn)
    found = listed(
        {**rows, "label": label, "prediction": before},
        {**rows, "label": label, "prediction": after},
        data("token-classification", None),
    )
    parts = zip([7, 8, 9, 11], label.split(), before.split(), after.split(), strict=True)
    expected = {
        (row, place, verdict(*each))
        for row, *answers in parts
        for place, each in enumerate(zip(*answers, strict=True))
        if verdict(*each)
    }
    assert {(flip.row, flip.word, flip.verdict) for flip in found} == expected


def test_words_that_tokenizers_cut_at_other_places_do_not_pair(drawn: tuple[np.ndarray, ...]) -> None:
    ours, theirs = (
        kept(*(Ragged(values, np.array(lengths)) for values in drawn[:2])) for lengths in ([20, 40], [40, 20])
    )
    answers, of = {"fp32": theirs, "int8": ours}, data("token-classification", None)
    flips, classes = count_flips(answers, ("int8", "fp32"), of, "test")
    assert (flips, {found.reference_recall for found in classes}) == (None, {None})
    assert list_flips(answers, ("int8", "fp32"), of) == ()


def test_of_several_classes_a_row_each_yes_or_no_flips_by_itself() -> None:
    label, before, after = (
        np.array([[1, 0, 1], [0, 0, 0]]),
        np.array([[1, 0, 1], [0, 1, 0]]),
        np.array([[1, 0, 0], [0, 0, 1]]),
    )
    of = data(problem="multi_label_classification")
    found = listed(kept(label.astype(np.float32), before), kept(label.astype(np.float32), after), of)
    assert [(f.row, f.about, f.label, f.before, f.after, f.verdict) for f in found] == [
        (100, "c", "c", "c", "not c", "lost"),
        (101, "c", "not c", "not c", "c", "lost"),
        (101, "b", "not b", "b", "not b", "won"),
    ]


def test_texts_flip_by_whether_they_match_a_gold_answer() -> None:
    def said(answers: list[str], exact: list[int]) -> Kept:
        return {"row_id": np.arange(4), "prediction": np.array(answers, dtype=object), "exact_match": np.array(exact)}

    before = said(["Ada", "1815", "x", "Paris"], [1, 0, 0, 1])
    after = said(["in London", "1815", "y", "paris"], [0, 0, 0, 1])
    found = listed(before, after, data("question-answering", None))
    assert [(f.row, f.about, f.label, f.before, f.after, f.verdict) for f in found] == [
        (0, None, "", "Ada", "in London", "lost"),
        (2, None, "", "x", "y", "changed"),
    ]


def test_tokens_of_a_vocabulary_are_counted_and_not_listed(drawn: tuple[np.ndarray, ...]) -> None:
    label, before, after = (Ragged(values, np.array([60])) for values in drawn)
    answers = {"fp32": kept(label, before), "int8": kept(label, after)}
    flips, classes = count_flips(answers, ("int8", "fp32"), data("masked-lm", None), "test")
    assert flips is not None
    assert (flips.changed, classes) == (sum(drawn[1] != drawn[2]), ())
    assert list_flips(answers, ("int8", "fp32"), data("masked-lm", None)) == ()


def test_answers_to_other_rows_are_not_compared() -> None:
    ours = kept(np.zeros(3, int), np.zeros(3, int))
    theirs = {**ours, "row_id": np.arange(3), "prediction": np.ones(3, int)}
    assert listed(theirs, ours, data()) == ()
    assert count_flips({"fp32": theirs, "int8": ours}, ("int8", "fp32"), data(), "test")[0] is None
