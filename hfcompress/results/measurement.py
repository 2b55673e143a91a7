"""One artifact on another machine, as its bundle measured it there."""

from __future__ import annotations

from pydantic import Field

from hfcompress.results.records import Difference, Interval, Record
from hfcompress.results.speed import Speed


class Agreement(Record):
    """How near answers are to those that travelled along in the bundle.

    Attributes:
        reference: the runtime that gave these.
        decisions: what was compared: rows, words, masked tokens, ends of answers, or single numbers.
        equal: how many are the same.
        max_difference, rms_difference: of the outputs, in their own unit: logits of classification.
    """

    reference: str
    decisions: int
    equal: int
    max_difference: float
    rms_difference: float

    @property
    def share(self) -> float:
        """Of equal decisions."""
        return self.equal / self.decisions


class Measurement(Speed):
    """One artifact on another machine: speed, and its answers to the sample in its bundle.

    Attributes:
        metrics: on the sample; empty for tasks whose metric is made of more than single outputs.
        difference: to the answers that travelled along, paired, on the same rows.
        agreement: with these answers; null when nobody said.
        rows: rows of the sample; null when nobody said.
        precision: what floating point was computed in; null: as the graph and the runtime have it.
    """

    metrics: dict[str, Interval] = Field(default_factory=dict)
    difference: dict[str, Difference] = Field(default_factory=dict)
    agreement: Agreement | None = None
    rows: int | None = None
    precision: str | None = None
