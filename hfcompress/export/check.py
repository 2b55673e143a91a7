"""Whether two runtimes give the same logits on the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hfcompress.errors import InputError, NumericalMismatchError


class Predicts(Protocol):
    """Anything that maps a batch to named outputs."""

    def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One batch to named outputs."""


@dataclass(frozen=True)
class Agreement:
    """What a comparison found.

    Attributes:
        largest: largest absolute difference of any output.
        batches: how many batches were compared.
    """

    largest: float
    batches: int


def compare(
    expected: Predicts, actual: Predicts, batches: Iterable[Mapping[str, np.ndarray]], tolerance: float
) -> Agreement:
    """Compare every named output on every batch.

    Raises:
        InputError: there are no batches, so nothing would be proved.
        NumericalMismatchError: an output is missing, has another shape, is not finite, or differs by more than
            `tolerance`; names the output, the batch's shape and the rows.
    """
    largest, count = 0.0, 0
    for batch in batches:
        theirs = actual.predict(batch)
        for name, reference in expected.predict(batch).items():
            largest = max(largest, _difference(name, reference, theirs, batch, tolerance))
        count += 1
    if count == 0:
        raise InputError("there are no rows to compare the exported model with PyTorch on; give some")
    return Agreement(largest, count)


def compare_in_spreads(
    expected: Predicts, actual: Predicts, batches: Iterable[Mapping[str, np.ndarray]], tolerance: float
) -> Agreement:
    """Compare every named output on every batch, in standard deviations of that output over all rows.

    For what computes in fewer digits: how far it may be off follows from how large its outputs are.

    Raises:
        InputError, NumericalMismatchError: as `compare`; the difference is the largest one over all batches.
    """
    references: dict[str, list[np.ndarray]] = {}
    apart: dict[str, float] = {}
    count = 0
    for batch in batches:
        theirs = actual.predict(batch)
        for name, reference in expected.predict(batch).items():
            references.setdefault(name, []).append(reference.ravel().astype(np.float64))
            apart[name] = max(apart.get(name, 0.0), _difference(name, reference, theirs, batch, np.inf))
        count += 1
    if count == 0:
        raise InputError("there are no rows to compare the model with its source on; give some")
    largest = 0.0
    for name, values in references.items():
        spread = float(np.concatenate(values).std())
        in_spreads = apart[name] / spread if spread else np.inf if apart[name] else 0.0
        if in_spreads > tolerance:
            raise NumericalMismatchError(
                f"`{name}` differs from its source by {apart[name]:.3g}, which is {in_spreads:.3g} standard deviations "
                f"of it (tolerance {tolerance:g}); choose a precision with more digits, or raise `tolerance` if your "
                "metric bears it"
            )
        largest = max(largest, in_spreads)
    return Agreement(largest, count)


def _difference(
    name: str,
    reference: np.ndarray,
    outputs: Mapping[str, np.ndarray],
    batch: Mapping[str, np.ndarray],
    tolerance: float,
) -> float:
    check_shape(name, reference, outputs, batch)
    with np.errstate(invalid="ignore"):  # infinity - infinity is NaN, which is refused
        apart = np.abs(outputs[name].astype(np.float64) - reference.astype(np.float64))
    if not np.isfinite(apart).all() or apart.max(initial=0.0) > tolerance:
        row = int(np.argmax(np.nan_to_num(apart, nan=np.inf).reshape(len(apart), -1).max(axis=1)))
        raise NumericalMismatchError(
            f"the exported model's `{name}` differs from PyTorch's by {apart.max():.3g} (tolerance {tolerance:g}) in "
            f"row {int(batch['row_id'][row]) if 'row_id' in batch else row} of a batch {_shapes(batch)}; try another "
            "`opset`, or raise `tolerance` if your metric bears it"
        )
    return float(apart.max(initial=0.0))


def check_shape(
    name: str, reference: np.ndarray, outputs: Mapping[str, np.ndarray], batch: Mapping[str, np.ndarray]
) -> None:
    """Raise `NumericalMismatchError` where an output is missing or has another shape than its reference."""
    if name not in outputs:
        raise NumericalMismatchError(f"the exported model gives no `{name}`, only {', '.join(outputs)}")
    if outputs[name].shape != reference.shape:
        raise NumericalMismatchError(
            f"the exported model's `{name}` has shape {outputs[name].shape}, PyTorch's {reference.shape}, on "
            f"{_shapes(batch)}"
        )


def _shapes(batch: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {key: value.shape for key, value in batch.items() if key not in ("labels", "row_id")}
