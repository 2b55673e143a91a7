"""Whether a Q/DQ graph decides as the fake-quantized model that it came from.

Both round the same values by the same scales, but sum products in another order. A value on the border of two integers
may so be rounded up on one side and down on the other: it moves by a whole step, and so does what is computed from it.
A graph that is right is exact for most rows and off by some steps for a few; one with a wrong scale is off for all. The
bounds follow: the root of the mean squared difference has to be small, and the largest difference may be larger, both
in standard deviations of the output over all rows; and decisions are counted. One that hung on less than what rounding
typically moves is a coin that either side may toss: of these more may differ.

Measured with MiniLM-L6 and scales by minmax, without training: on 1,000 reviews half of the logits are equal to six
digits, the largest difference is 0.21 standard deviations, and two decisions differ; ONNX Runtime with and without its
own optimizations differs from itself by 0.13. On 400 of them the root mean square is 0.0105 standard deviations. After
QAT of the same model, on labels and with a teacher, it is 0.0095 of them on 1,448 reviews; one and three decisions
differ, one of either by more than twice the root mean square (7.0 and 6.9 times).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from hfcompress.errors import InputError, NumericalMismatchError
from hfcompress.export.check import Predicts, check_shape
from hfcompress.recipe.tasks import TaskName
from hfcompress.tasks.labels import Labels

#: Bounds on the largest difference of an output and on the root of its mean square, in standard deviations of it.
LARGEST, TYPICAL = 0.5, 0.05
#: The share of decisions that may differ, and how many may in any case.
MAY_DIFFER, MAY_DIFFER_ANYWAY = 0.001, 2
#: A close call: a margin between two outputs of which each is off by the root of the mean squared difference.
CLOSE_CALL = 2
#: The share of decisions that may differ, close calls among them.
MAY_DIFFER_CLOSELY = 0.01

#: What a model decides by its outputs: the largest of a row or token, each that is positive, or nothing.
Decision = Literal["largest", "positive", "nothing"]


def decision_of(task: TaskName, labels: Labels) -> Decision:
    """How a task reads an answer from the outputs of its models."""
    if task == "feature-extraction" or labels.problem == "regression":
        return "nothing"
    return "positive" if labels.problem == "multi_label_classification" else "largest"


@dataclass
class _Seen:
    """What is known of one output after some batches."""

    largest: float = 0.0
    count: int = 0
    sum: float = 0.0
    squares: float = 0.0
    squares_apart: float = 0.0

    def add(self, expected: np.ndarray, found: np.ndarray) -> None:
        apart = np.abs(found - expected)
        self.largest = max(self.largest, float(apart.max(initial=0.0)) if np.isfinite(apart).all() else np.inf)
        self.count += expected.size
        self.sum += float(expected.sum())
        self.squares += float((expected**2).sum())
        self.squares_apart += float((apart**2).sum())

    @property
    def typical(self) -> float:
        return float(np.sqrt(self.squares_apart / self.count))

    @property
    def spread(self) -> float:
        return float(np.sqrt(max(self.squares / self.count - (self.sum / self.count) ** 2, 0.0)))


@dataclass
class RoundedAgreement:
    """What a comparison of a Q/DQ graph with its fake-quantized source found.

    Attributes:
        rows: how many were compared.
        largest: the largest absolute difference, of the output that comes nearest to its tolerance.
        typical: the root of the mean squared difference of that output.
        tolerance: the largest accepted difference of that output.
        decisions: how many were compared: rows, tokens, or classes of rows.
        margins: for each decision that differs, by how much PyTorch preferred what it chose.
    """

    rows: int = 0
    largest: float = 0.0
    typical: float = 0.0
    tolerance: float = 0.0
    decisions: int = 0
    margins: list[float] = field(default_factory=list)

    @property
    def clear(self) -> list[float]:
        """The margins of those decisions that differ and were no close calls."""
        return [margin for margin in self.margins if margin > CLOSE_CALL * self.typical]

    @property
    def details(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "rows": self.rows,
            "tolerance": self.tolerance,
            "largest_difference": self.largest,
            "rms_difference": self.typical,
            "decisions": self.decisions,
            "decisions_that_differ": len(self.margins),
            "of_them_close_calls": len(self.margins) - len(self.clear),
            "largest_margin_that_differs": max(self.margins, default=0.0),
        }


def compare_rounded(
    expected: Predicts,
    actual: Predicts,
    batches: Iterable[Mapping[str, np.ndarray]],
    decision: Decision,
    tolerance: float | None = None,
) -> RoundedAgreement:
    """Compare every output, and what is decided by it, on every batch. Padding is left out.

    Args:
        expected: the fake-quantized model in PyTorch.
        actual: the Q/DQ graph.
        batches: rows.
        decision: what is decided by the outputs.
        tolerance: largest accepted difference of any output, in place of the two bounds.

    Raises:
        InputError: there are no batches, so nothing would be proved.
        NumericalMismatchError: an output is missing, has another shape, is not finite, or differs by more than the
            bounds; more than 0.1% of the decisions differ, and more than two, close calls not counted; more than 1%
            (and two) differ, close calls counted; or one of them by a margin above the tolerance.
    """
    found = RoundedAgreement()
    seen: dict[str, _Seen] = {}
    for batch in batches:
        theirs = actual.predict(batch)
        outputs = expected.predict(batch)
        for name, reference in outputs.items():
            check_shape(name, reference, theirs, batch)
            ours, its = reference.astype(np.float64), theirs[name].astype(np.float64)
            real = _real(reference, batch)
            seen.setdefault(name, _Seen()).add(ours[real], its[real])
            if decision != "nothing":
                _count_decisions(found, _items(ours, real), _items(its, real), decision)
        found.rows += len(next(iter(outputs.values())))
    if not seen:
        raise InputError("there are no rows to compare the exported model with PyTorch on; give some")
    _check(found, seen, tolerance)
    return found


def _real(output: np.ndarray, batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which rows, or rows and tokens, of an output are no padding."""
    mask = batch.get("attention_mask")
    by_token = mask is not None and output.ndim > 1 and output.shape[: mask.ndim] == mask.shape
    real: np.ndarray = mask.astype(bool) if mask is not None and by_token else np.ones(len(output), dtype=bool)
    return real


def _items(values: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The values that each decision is made by: (decisions, choices)."""
    # Of the same rank: a choice among the tokens of a row, as the start of an answer is.
    items: np.ndarray = np.where(real, values, -np.inf) if values.ndim == real.ndim else values[real]
    return items


def _count_decisions(found: RoundedAgreement, expected: np.ndarray, actual: np.ndarray, decision: Decision) -> None:
    if decision == "positive":
        differs, margin = (expected > 0) != (actual > 0), np.abs(expected)
    else:
        ranked = np.sort(expected, axis=-1)
        differs, margin = expected.argmax(-1) != actual.argmax(-1), ranked[..., -1] - ranked[..., -2]
    found.decisions += differs.size
    found.margins += margin[differs].tolist()


def _check(found: RoundedAgreement, seen: Mapping[str, _Seen], tolerance: float | None) -> None:
    for name, output in seen.items():
        allowed = LARGEST * output.spread if tolerance is None else tolerance
        typical = TYPICAL * output.spread if tolerance is None else tolerance
        if not (output.largest <= allowed and output.typical <= typical):
            raise NumericalMismatchError(
                f"the exported model's `{name}` differs from that of the fake-quantized model by up to "
                f"{output.largest:.3g} (tolerance {allowed:.3g}), root mean square {output.typical:.3g} (tolerance "
                f"{typical:.3g}); the standard deviation of `{name}` is {output.spread:.3g}; try another `opset`, or "
                "set `tolerance` if your metric bears it"
            )
        if output.largest * found.tolerance >= found.largest * allowed:
            found.largest, found.typical, found.tolerance = output.largest, output.typical, allowed
    bounds = ((found.clear, MAY_DIFFER), (found.margins, MAY_DIFFER_CLOSELY))
    too_many = any(len(margins) > max(MAY_DIFFER_ANYWAY, share * found.decisions) for margins, share in bounds)
    if too_many or any(margin > found.tolerance for margin in found.margins):
        raise NumericalMismatchError(
            f"the exported model decides {len(found.margins)} of {found.decisions} otherwise than the fake-quantized "
            f"model, by margins of up to {max(found.margins):.3g} (tolerance {found.tolerance:.3g}); train longer, or "
            "calibrate with more rows, so that less hangs on single steps"
        )
