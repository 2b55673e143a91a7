"""Accuracy, and agreement with the answers that travel along."""

from __future__ import annotations

from typing import Any

import numpy as np

from .batches import Packed, Predict
from .failures import RefusedError

#: Numbers agree when they differ by at most this share of the range of the reference.
TOLERANCE = 0.01


class Tally:
    """Counts over batches: how far from the reference, how often the same decision, how often right.

    Args:
        decision: `class`: the place of the largest of the last axis; `classes`: each of which is above 0; `number`:
            equal within 1% of the range of the reference.
        spread: that range.
    """

    def __init__(self, decision: str, spread: float) -> None:
        self.decision, self.spread = decision, spread
        self.decisions = self.equal = self.values = 0
        self.largest = self.squares = 0.0
        self.rows = self.correct = self.won = self.lost = 0

    def compare(self, ours: np.ndarray, reference: np.ndarray) -> None:
        """One output of one batch."""
        distance = np.abs(ours.astype(np.float64) - reference)
        if self.decision == "class":
            same = ours.argmax(axis=-1) == reference.argmax(axis=-1)
        elif self.decision == "classes":
            same = (ours > 0) == (reference > 0)
        else:
            same = distance <= TOLERANCE * self.spread
        self.decisions, self.equal = self.decisions + same.size, self.equal + int(same.sum())
        self.values, self.squares = self.values + distance.size, self.squares + float((distance**2).sum())
        self.largest = max(self.largest, float(distance.max(initial=0.0)))

    def judge(self, ours: np.ndarray, reference: np.ndarray, labels: np.ndarray) -> None:
        """The classes of one batch by its labels."""
        right, before = ours.argmax(axis=-1) == labels, reference.argmax(axis=-1) == labels
        self.rows, self.correct = self.rows + len(labels), self.correct + int(right.sum())
        self.won, self.lost = self.won + int((right & ~before).sum()), self.lost + int((before & ~right).sum())

    def accuracy(self) -> dict[str, Any]:
        """`won`: right here and wrong in the reference; `lost`: the reverse."""
        counts = {"rows": self.rows, "correct": self.correct, "won": self.won, "lost": self.lost}
        return {"value": self.correct / self.rows, **counts}

    def agreement(self) -> dict[str, Any]:
        """Share of equal decisions; differences of the outputs, in their own unit."""
        rms = float(np.sqrt(self.squares / max(1, self.values)))
        counts = {"decisions": self.decisions, "equal": self.equal}
        return {"share": self.equal / self.decisions, **counts, "max_difference": self.largest, "rms_difference": rms}


def judge(predict: Predict, bundle: dict[str, Any], sample: Packed, reference: Packed) -> Tally:
    """Answer the sample, and compare with its labels and with the answers that travel along."""
    tally = Tally(bundle["decision"], range_of(reference, bundle["outputs"]))
    for name in sample.names:
        outputs, known = predict(sample[name]), reference[name]
        for output in bundle["outputs"]:
            ours = outputs[output]
            if not np.isfinite(ours).all():
                raise RefusedError(
                    f"{np.count_nonzero(~np.isfinite(ours))} of {ours.size} numbers in `{output}` are NaN or infinite "
                    "here; half precision overflows so: build in another precision"
                )
            ours = ours[known["mask"]] if "mask" in known else ours
            tally.compare(ours, known[output])
            if bundle["metric"] == "accuracy":
                tally.judge(ours, known[output], known["labels"])
    return tally


def range_of(reference: Packed, outputs: list[str]) -> float:
    """Largest less smallest number of the reference."""
    ends = [(batch[name].min(), batch[name].max()) for batch in reference for name in outputs if batch[name].size]
    return float(max(high for _, high in ends) - min(low for low, _ in ends))
