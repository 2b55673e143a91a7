"""The comparison of a Q/DQ graph with its fake-quantized source: what passes, what fails, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hfcompress.errors import InputError, NumericalMismatchError
from hfcompress.export.agreement import RoundedAgreement, compare_rounded, decision_of
from hfcompress.tasks.labels import Labels

ROWS = 3000
RNG = np.random.default_rng(0)
#: Logits of two classes with a standard deviation of about 1, whose margins are 0.2 and more.
EXPECTED = np.where(RNG.random((ROWS, 1)) < 0.5, [[1.0, -1.0]], [[-1.0, 1.0]]) * RNG.uniform(0.1, 1.7, (ROWS, 1))
BATCH: dict[str, np.ndarray] = {"row_id": np.arange(ROWS)}


class Answers:
    """A runtime that knows its outputs by heart."""

    def __init__(self, **outputs: np.ndarray) -> None:
        self.outputs = outputs

    def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: values.astype(np.float32) for name, values in self.outputs.items()}


def check(actual: np.ndarray, expected: np.ndarray = EXPECTED, **options: Any) -> RoundedAgreement:
    options = {"decision": "largest", **options}
    batch = options.pop("batch", BATCH)
    return compare_rounded(Answers(logits=expected), Answers(logits=actual), [batch], **options)


def flipped(rows: int) -> np.ndarray:
    """The closest calls of so many rows decided the other way."""
    actual = EXPECTED.copy()
    closest = np.argsort(np.abs(EXPECTED[:, 0] - EXPECTED[:, 1]))[:rows]
    actual[closest] = -actual[closest]
    return actual


def test_equal_answers_agree() -> None:
    details = check(EXPECTED.copy()).details
    assert details["rows"] == details["decisions"] == ROWS
    assert details["largest_difference"] == details["rms_difference"] == details["decisions_that_differ"] == 0
    assert details["tolerance"] == pytest.approx(0.5 * EXPECTED.std(), rel=1e-5)


def test_few_steps_of_few_rows_pass_and_the_same_for_all_rows_does_not() -> None:
    few, all_rows = EXPECTED.copy(), EXPECTED * (1 + 0.2)
    few[:20, 0] += 0.2
    found = check(few).details
    assert found["largest_difference"] == pytest.approx(0.2, rel=1e-5)
    assert found["rms_difference"] == pytest.approx(np.sqrt(20 * 0.2**2 / (2 * ROWS)), rel=1e-4)
    with pytest.raises(NumericalMismatchError, match=r"`logits` differs .* root mean square 0\.\d+ \(tolerance 0\.0"):
        check(all_rows)


def test_one_row_that_is_far_off_fails() -> None:
    actual = EXPECTED.copy()
    actual[7] *= 1 + 0.51 * EXPECTED.std() / np.abs(EXPECTED[7]).max()
    with pytest.raises(NumericalMismatchError, match=r"by up to 0\.\d+ \(tolerance 0\.\d+\)"):
        check(actual)


@pytest.mark.parametrize("rows, passes", [(3, True), (4, False)])
def test_one_decision_in_a_thousand_may_differ(rows: int, passes: bool) -> None:
    assert ROWS * 0.001 == 3
    if passes:
        found = check(flipped(rows))
        assert len(found.margins) == 3
        assert max(found.margins) < found.tolerance
    else:
        with pytest.raises(NumericalMismatchError, match="decides 4 of 3000 otherwise"):
            check(flipped(rows))


def test_of_few_decisions_two_may_differ() -> None:
    assert len(check(flipped(2)[:1000], EXPECTED[:1000]).margins) <= 2
    close = np.array([[0.1, 0.0], [1, -1], [0.1, 0.0], [-1, 1], [0.1, 0.0]])
    turned = close[:, ::-1] * [[1.0], [-1.0], [1.0], [-1.0], [1.0]]
    turned[[1, 3]] = close[[1, 3]]
    with pytest.raises(NumericalMismatchError, match="decides 3 of 5"):
        check(turned, close, tolerance=1.0)
    turned[4] = close[4]
    assert len(check(turned, close, tolerance=1.0).margins) == 2


@pytest.mark.parametrize("rows, passes", [(30, True), (31, False)])
def test_of_close_calls_one_in_a_hundred_may_differ(rows: int, passes: bool) -> None:
    """Noise of 0.01 on every output, and some rows whose margin is below twice of that."""
    noise = np.where(np.arange(ROWS)[:, None] % 2 == 0, [[0.01, -0.01]], [[-0.01, 0.01]])
    expected = EXPECTED.copy()
    expected[0 : 2 * rows : 2] = [0.0, 0.019]
    actual = expected + noise
    if passes:
        found = check(actual, expected)
        assert len(found.margins) == 30
        assert found.details["of_them_close_calls"] == 30
    else:
        with pytest.raises(NumericalMismatchError, match="decides 31 of 3000 otherwise"):
            check(actual, expected)


def test_a_decision_that_was_no_close_call_may_not_differ() -> None:
    expected = np.array([[0.9, 0.0], [1.0, -1.0], [-1.0, 1.0]])
    actual = expected.copy()
    actual[0] = [0.4, 0.5]
    with pytest.raises(NumericalMismatchError, match=r"decides 1 of 3 .* margins of up to 0\.9 \(tolerance 0\.6\)"):
        check(actual, expected, tolerance=0.6)
    assert check(actual, expected, tolerance=0.95).margins == pytest.approx([0.9])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_never_agrees(value: float) -> None:
    actual = EXPECTED.copy()
    actual[3, 1] = value
    with pytest.raises(NumericalMismatchError):
        check(actual, tolerance=1e30)


def test_padding_is_neither_compared_nor_decided() -> None:
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
    expected = np.random.default_rng(1).normal(size=(2, 4, 3))
    actual = np.where(mask[:, :, None] == 1, expected, -expected + 9)
    found = check(actual, expected, batch={"attention_mask": mask})
    assert (found.decisions, found.largest) == (5, 0.0)
    spans = expected[:, :, 0]
    found = check(np.where(mask == 1, spans, 99.0), spans, batch={"attention_mask": mask})
    assert (found.decisions, found.margins) == (2, [])
    turned = spans.copy()
    turned[0, [0, 1]] = turned[0, [1, 0]]
    assert check(turned, spans, batch={"attention_mask": mask}, tolerance=9.0).decisions == 2


def test_each_class_of_several_is_a_decision() -> None:
    expected = np.array([[0.05, -2.0, 1.0], [2.0, -1.0, 0.5]])
    actual = expected.copy()
    actual[0, 0] = -0.01
    found = check(actual, expected, decision="positive", tolerance=0.1)
    assert (found.decisions, found.margins) == (6, pytest.approx([0.05], rel=1e-5))


def test_a_number_decides_nothing() -> None:
    found = check(EXPECTED[:, :1] + 0.01, EXPECTED[:, :1], decision="nothing")
    assert (found.decisions, found.margins) == (0, [])


@pytest.mark.parametrize(
    "task, problem, decision",
    [
        ("text-classification", "single_label_classification", "largest"),
        ("text-classification", "multi_label_classification", "positive"),
        ("text-classification", "regression", "nothing"),
        ("question-answering", None, "largest"),
        ("masked-lm", None, "largest"),
        ("feature-extraction", None, "nothing"),
    ],
)
def test_what_a_task_decides(task: Any, problem: Any, decision: str) -> None:
    assert decision_of(task, Labels((), {}, problem)) == decision


def test_missing_outputs_other_shapes_and_no_rows_are_errors() -> None:
    with pytest.raises(NumericalMismatchError, match="gives no `logits`, only scores"):
        compare_rounded(Answers(logits=EXPECTED), Answers(scores=EXPECTED), [BATCH], "largest")
    with pytest.raises(NumericalMismatchError, match="has shape"):
        check(EXPECTED[:5])
    with pytest.raises(InputError, match="no rows to compare"):
        compare_rounded(Answers(logits=EXPECTED), Answers(logits=EXPECTED), [], "largest")
