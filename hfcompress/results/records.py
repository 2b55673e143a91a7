"""What every object of the file is, and a value with its interval."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen; unknown keys are ignored, so that an older reader opens a newer file."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Interval(Record):
    """A value with its 95% interval. Fractions, not points.

    Attributes:
        value: the point estimate.
        low, high: bounds of the percentile bootstrap.
        split: the role of the split it was read on.
    """

    value: float
    low: float
    high: float
    split: str


class Difference(Interval):
    """Paired difference `value = this artifact - against`, with its 95% interval, on the same rows."""

    against: str
