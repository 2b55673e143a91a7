from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from hfcompress.pipeline.flips import count_flips
from hfcompress.recipe.tasks import TaskName
from hfcompress.tasks import get_task
from hfcompress.tasks.columns import Ragged
from hfcompress.tasks.data import Data
from hfcompress.tasks.labels import Labels

NAMES = ("a", "b", "c", "never")


def data(task: TaskName, problem: Any = "single_label_classification") -> Data:
    return cast("Data", SimpleNamespace(task=get_task(task), labels=Labels(NAMES, {}, problem)))


def by_hand(label: list[int], before: list[int], after: list[int]) -> dict[str, tuple[int, int, int]]:
    """Class -> items, won, lost, counted one by one."""
    found: dict[str, list[int]] = {}
    for right, old, new in zip(label, before, after, strict=True):
        counts = found.setdefault(NAMES[right], [0, 0, 0])
        counts[0] += 1
        counts[1] += old != right == new
        counts[2] += old == right != new
    return {name: (items, won, lost) for name, (items, won, lost) in found.items()}


@pytest.mark.parametrize("task", ["text-classification", "image-classification", "token-classification"])
def test_flips_and_recalls_are_those_counted_one_by_one(task: TaskName) -> None:
    rng = np.random.default_rng(0)
    label, before, after = (rng.integers(0, 3, 60) for _ in range(3))
    lengths, rows = np.array([20, 0, 40]), {"row_id": np.arange(60)}

    def kept(predicted: np.ndarray) -> Any:
        if task == "token-classification":
            return {**rows, "label": Ragged(label, lengths), "prediction": Ragged(predicted, lengths)}
        return {**rows, "label": label, "prediction": predicted}

    answers = {"before": kept(before), "after": kept(after)}
    flips, classes = count_flips(answers, ("after", "before"), data(task), "test")
    expected = by_hand(label.tolist(), before.tolist(), after.tolist())
    assert {found.label: (found.rows, found.won, found.lost) for found in classes} == expected
    assert flips is not None
    assert (flips.answers, flips.changed) == (60, sum(before != after))
    assert (flips.won, flips.lost) == tuple(sum(counts[place] for counts in expected.values()) for place in (1, 2))
    for found in classes:
        of_class = label == NAMES.index(found.label)
        assert found.recall == pytest.approx((after[of_class] == label[of_class]).mean())
        assert found.reference_recall == pytest.approx((before[of_class] == label[of_class]).mean())


def test_of_several_classes_a_row_each_row_decides_about_each_class() -> None:
    label = np.array([[1, 0, 1, 0], [0, 0, 1, 0]])
    before = np.array([[1, 0, 0, 0], [0, 1, 1, 0]])
    after = np.array([[0, 0, 1, 0], [0, 0, 1, 0]])
    rows = {"row_id": np.arange(2), "label": label}
    answers = {name: {**rows, "prediction": found} for name, found in (("before", before), ("after", after))}
    task = data("text-classification", "multi_label_classification")
    flips, classes = count_flips(answers, ("after", "before"), task, "test")
    assert flips is not None
    assert (flips.answers, flips.changed, flips.won, flips.lost) == (8, 3, 2, 1)
    found = {one.label: (one.rows, one.recall, one.reference_recall, one.won, one.lost) for one in classes}
    assert found == {"a": (1, 0.0, 1.0, 0, 1), "c": (2, 1.0, 0.5, 1, 0)}  # no row has b, or the last class


def test_answers_that_are_near_or_far_do_not_flip() -> None:
    kept = {"row_id": np.arange(3), "label": np.zeros(3), "prediction": np.ones(3)}
    answers: Any = {"before": kept, "after": kept}
    assert count_flips(answers, ("after", "before"), data("text-classification", "regression"), "test") == (None, ())
    assert count_flips(answers, ("after", "before"), data("feature-extraction", None), "test") == (None, ())


def test_a_question_is_right_when_its_answer_is_exactly_a_gold_one() -> None:
    def kept(*answers: str) -> Any:
        gold, rows = np.array(["x", "y", "z"]), {"row_id": np.arange(3)}
        return {**rows, "prediction": np.array(answers, dtype=object), "exact_match": (gold == answers).astype(float)}

    answers = {"before": kept("x", "q", "z"), "after": kept("x", "y", "r")}
    flips, classes = count_flips(answers, ("after", "before"), data("question-answering", None), "test")
    assert flips is not None
    assert (flips.changed, flips.won, flips.lost, classes) == (2, 1, 1, ())


def test_the_baseline_has_recalls_and_no_flips() -> None:
    answers: Any = {"only": {"row_id": np.arange(3), "label": np.array([0, 0, 1]), "prediction": np.array([0, 1, 1])}}
    flips, classes = count_flips(answers, ("only", None), data("text-classification"), "test")
    assert flips is None
    assert [(found.label, found.rows, found.recall, found.reference_recall) for found in classes] == [
        ("a", 2, 0.5, None),
        ("b", 1, 1.0, None),
    ]
