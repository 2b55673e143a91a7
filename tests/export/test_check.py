"""The comparison of two runtimes: what passes, what fails, and what it says."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.errors import InputError, NumericalMismatchError
from hfcompress.export.check import Agreement, compare, compare_in_spreads


class Answers:
    """A runtime that knows its outputs by heart."""

    def __init__(self, **outputs: np.ndarray) -> None:
        self.outputs = outputs

    def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(self.outputs)


def logits(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


SOME = logits([1, 2], [3, 4], [5, 6])
BATCH = {
    "input_ids": np.zeros((3, 7), dtype=np.int64),
    "row_id": np.array([40, 41, 42]),
    "labels": np.zeros(3, dtype=np.int64),
}


def check(theirs: np.ndarray, ours: np.ndarray = SOME, tolerance: float = 1e-3) -> Agreement:
    return compare(Answers(logits=ours), Answers(logits=theirs), [BATCH], tolerance)


def test_equal_answers_agree() -> None:
    assert check(SOME.copy()) == Agreement(largest=0.0, batches=1)


def test_the_largest_difference_of_all_batches_is_told() -> None:
    assert check(SOME + np.float32(0.25), tolerance=0.5) == Agreement(largest=0.25, batches=1)


def test_a_difference_of_exactly_the_tolerance_passes_and_the_next_number_does_not() -> None:
    theirs = SOME.copy()
    theirs[1, 1] += np.float32(0.5)
    assert check(theirs, tolerance=0.5).largest == 0.5
    with pytest.raises(NumericalMismatchError):
        check(theirs, tolerance=math.nextafter(0.5, 0))


def test_a_mismatch_names_the_output_the_row_the_tolerance_and_the_batch() -> None:
    theirs = SOME.copy()
    theirs[1, 0] += 0.5
    message = (
        r"`logits` differs from PyTorch's by 0\.5 \(tolerance 0\.001\) in row 41 of a batch {'input_ids': \(3, 7\)}"
    )
    with pytest.raises(NumericalMismatchError, match=message):
        check(theirs)


def test_a_row_without_an_id_is_named_by_its_place() -> None:
    theirs = SOME.copy()
    theirs[2, 0] -= 0.5
    batch = {"input_ids": BATCH["input_ids"]}
    with pytest.raises(NumericalMismatchError, match="in row 2 of a batch"):
        compare(Answers(logits=SOME), Answers(logits=theirs), [batch], 1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("ours_too", [False, True])
def test_what_is_not_finite_never_agrees_whatever_the_tolerance(value: float, ours_too: bool) -> None:
    theirs, ours = SOME.copy(), SOME.copy()
    theirs[1, 1] = value
    ours[1, 1] = value if ours_too else ours[1, 1]
    with pytest.raises(NumericalMismatchError, match="in row 41"):
        check(theirs, ours, tolerance=1e30)


def test_a_missing_output_is_named_with_what_is_there() -> None:
    with pytest.raises(NumericalMismatchError, match="gives no `logits`, only scores, hidden"):
        compare(Answers(logits=SOME), Answers(scores=SOME, hidden=SOME), [BATCH], 1e-3)


def test_every_output_of_pytorch_is_compared() -> None:
    ours, theirs = Answers(logits=SOME, hidden=SOME), Answers(logits=SOME, hidden=SOME + 1)
    with pytest.raises(NumericalMismatchError, match="`hidden` differs"):
        compare(ours, theirs, [BATCH], 1e-3)


@pytest.mark.parametrize("theirs", [SOME[:2], SOME[:, :1], SOME[None], SOME.reshape(2, 3)])
def test_another_shape_is_named_with_both(theirs: np.ndarray) -> None:
    with pytest.raises(
        NumericalMismatchError, match=r"has shape \(.*\), PyTorch's \(3, 2\), on {'input_ids': \(3, 7\)}"
    ):
        check(theirs)


def test_nothing_compared_is_no_agreement() -> None:
    with pytest.raises(InputError, match="no rows to compare"):
        compare(Answers(logits=SOME), Answers(logits=SOME), [], 1e-3)


@settings(deadline=None)
@given(st.lists(st.floats(-4, 4, width=32), min_size=6, max_size=6), st.floats(0, 4))
def test_a_comparison_passes_exactly_when_the_largest_difference_is_within_the_tolerance(
    apart: list[float], tolerance: float
) -> None:
    theirs = SOME + logits(*np.array(apart, dtype=np.float32).reshape(3, 2).tolist())
    largest = max(abs(float(a) - float(b)) for a, b in zip(theirs.flat, SOME.flat, strict=True))
    if largest <= tolerance:
        assert check(theirs, tolerance=tolerance).largest == largest
    else:
        with pytest.raises(NumericalMismatchError):
            check(theirs, tolerance=tolerance)


def in_spreads(*pairs: tuple[np.ndarray, np.ndarray], tolerance: float) -> Agreement:
    class Turns:
        """Answers the batches one after the other."""

        def __init__(self, answers: list[np.ndarray]) -> None:
            self.answers = iter(answers)

        def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"logits": next(self.answers)}

    ours, theirs = zip(*pairs, strict=True)
    return compare_in_spreads(Turns(list(ours)), Turns(list(theirs)), [BATCH] * len(pairs), tolerance)


def test_a_difference_in_spreads_is_over_the_standard_deviation_of_all_rows() -> None:
    far = SOME + np.float32(100)
    spread = np.concatenate([SOME, far]).std()
    found = in_spreads((SOME, SOME + np.float32(0.5)), (far, far), tolerance=0.05)
    assert found.largest == pytest.approx(0.5 / spread, rel=1e-6)
    assert found.batches == 2
    message = r"`logits` differs from its source by 0\.5, which is 0\.293 standard deviations of it \(tolerance 0\.05\)"
    with pytest.raises(NumericalMismatchError, match=message):
        in_spreads((SOME, SOME + np.float32(0.5)), tolerance=0.05)


def test_outputs_that_never_change_have_to_be_met_and_overflow_is_refused() -> None:
    same = logits([1, 1], [1, 1], [1, 1])
    assert in_spreads((same, same), tolerance=0.1).largest == 0
    with pytest.raises(NumericalMismatchError, match="inf standard deviations"):
        in_spreads((same, same + np.float32(0.01)), tolerance=100)
    with pytest.raises(NumericalMismatchError, match="differs"):
        in_spreads((SOME, SOME * np.float32(np.inf)), tolerance=100)
    with pytest.raises(InputError, match="no rows to compare"):
        compare_in_spreads(Answers(logits=SOME), Answers(logits=SOME), [], 0.1)
