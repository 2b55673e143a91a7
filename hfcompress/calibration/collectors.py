"""Collectors: values go in batch by batch, a range comes out, and memory stays what it was.

    collectors = {name: make() for name in tensors}         # make = make_collector(calibration)
    for batch in batches: collectors[name].update(values)
    low, high = collectors[name].range()

Every range holds 0, as every integer grid does, and is wide enough to give a scale, even that of a tensor that is 0
everywhere. None of them depends on the order of the batches.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, assert_never

import numpy as np

from hfcompress.calibration.entropy import entropy_threshold
from hfcompress.calibration.histogram import Extremes, Histogram
from hfcompress.errors import InputError
from hfcompress.recipe.quantization import Calibration

#: A range below this would give a scale that float32 cannot hold as a normal number.
_NARROWEST = float(np.finfo(np.float32).tiny) * 256


class RangeCollector(Protocol):
    """Finds the range of one tensor."""

    def update(self, values: np.ndarray) -> None:
        """Take floating point values of any shape into account.

        Raises:
            InputError: some are NaN or infinite; the message does not know the tensor's name.
        """

    def range(self) -> tuple[float, float]:
        """(low, high) with low <= 0 <= high and low < high.

        Raises:
            InputError: no value came.
        """


class MinMaxCollector:
    """The smallest and largest value."""

    def __init__(self) -> None:
        self._extremes = Extremes()

    def update(self, values: np.ndarray) -> None:
        """See `RangeCollector`."""
        self._extremes.update(values)

    def range(self) -> tuple[float, float]:
        """See `RangeCollector`."""
        return _range(self._extremes)


class PercentileCollector:
    """Clips at the |value| that a percentile of all values does not exceed, to the next bin.

    Where more than that are exactly 0, nothing is clipped.

    Args:
        percentile: 0 to 100.
    """

    def __init__(self, percentile: float) -> None:
        self._percentile = percentile
        self._histogram = Histogram()

    def update(self, values: np.ndarray) -> None:
        """See `RangeCollector`."""
        self._histogram.update(values)

    def range(self) -> tuple[float, float]:
        """See `RangeCollector`."""
        within = self._histogram.zeros + np.cumsum(self._histogram.counts.sum(axis=0))
        wanted = self._percentile / 100 * within[-1]
        if wanted <= self._histogram.zeros:
            return _range(self._histogram.extremes)
        return _range(self._histogram.extremes, float(np.searchsorted(within, wanted) + 1) * self._histogram.width)


class EntropyCollector:
    """Clips where the 8-bit distribution is nearest to that of the values: see `entropy_threshold`."""

    def __init__(self) -> None:
        self._histogram = Histogram()

    def update(self, values: np.ndarray) -> None:
        """See `RangeCollector`."""
        self._histogram.update(values)

    def range(self) -> tuple[float, float]:
        """See `RangeCollector`."""
        return _range(self._histogram.extremes, entropy_threshold(self._histogram))


def make_collector(calibration: Calibration) -> Callable[[], RangeCollector]:
    """What makes a new collector of the method that a recipe names."""
    match calibration.method:
        case "minmax":
            return MinMaxCollector
        case "percentile":
            return partial(PercentileCollector, calibration.percentile)
        case "entropy":
            return EntropyCollector
        case _:
            assert_never(calibration.method)


def _range(extremes: Extremes, threshold: float = np.inf) -> tuple[float, float]:
    """The extremes, clipped to [-threshold, threshold] and made to hold 0.

    A tensor that is 0 everywhere, or too near to it for float32, gets (0, 1): it has no scale of its own, and needs
    none.
    """
    if extremes.low > extremes.high:
        raise InputError("no values came, so there is no range; calibrate on at least one row")
    low, high = max(min(extremes.low, 0.0), -threshold), min(max(extremes.high, 0.0), threshold)
    return (low, high) if high - low >= _NARROWEST else (0.0, 1.0)
