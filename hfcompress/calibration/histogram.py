"""A histogram of a stream whose range is not known beforehand, in memory that does not grow."""

from __future__ import annotations

import numpy as np

from hfcompress.errors import InputError

#: Bins for each sign. The largest |value| lies in the upper half of them, so that 2,048 to 4,096 reach up to it: the
#: resolution of Migacz (2017).
BINS = 4096
_BITS = BINS.bit_length() - 1
#: Values that are binned at once: their temporary arrays stay in the cache.
_CHUNK = 1 << 17
#: Below the exponent of any positive double, so that the first value makes the range grow.
_NO_EXPONENT = -1100


class Extremes:
    """The smallest and largest value of a stream.

    Attributes:
        low, high: inf and -inf before the first value.
    """

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf

    def update(self, values: np.ndarray) -> None:
        """Take values of any shape into account.

        Raises:
            InputError: some are NaN or infinite; the caller knows whose they are.
        """
        if values.size == 0:
            return
        low, high = float(values.min()), float(values.max())  # NaN if any value is
        if not (np.isfinite(low) and np.isfinite(high)):
            bad = int(np.size(values) - np.isfinite(values).sum())
            raise InputError(f"{bad} of {values.size} values are NaN or infinite")
        self.low, self.high = min(self.low, low), max(self.high, high)


class Histogram:
    """Counts of |value| for each sign, in bins of equal width from 0 to the smallest power of two above all of them.

    The range grows by whole powers of two, so that 2, 4, 8, ... old bins become one new bin, and no count has to be
    guessed: the histogram of a stream is exactly that of its values at once, whatever the order and the batches.
    Exact zeros are counted apart, since every integer grid holds zero without error.

    Attributes:
        extremes: the smallest and largest value.
        zeros: how many values are 0.
        counts: (2, BINS) int64; negative values first; bin i holds i * width <= |value| < (i + 1) * width.
    """

    def __init__(self) -> None:
        self.extremes = Extremes()
        self.zeros = 0
        self.counts = np.zeros((2, BINS), dtype=np.int64)
        self._exponent = _NO_EXPONENT

    @property
    def width(self) -> float:
        """Of one bin; a power of two."""
        return float(np.ldexp(1.0, self._exponent - _BITS))

    def update(self, values: np.ndarray) -> None:
        """Count values of any shape.

        Raises:
            InputError: some are NaN or infinite.
        """
        self.extremes.update(values)
        largest = max(-self.extremes.low, self.extremes.high)
        if largest > 0:
            self._grow(int(np.frexp(largest)[1]))  # largest < 2 ** exponent
        flat = values.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            self._count(flat[start : start + _CHUNK])

    def _count(self, values: np.ndarray) -> None:
        nonzero = values[values != 0]
        self.zeros += values.size - nonzero.size
        # Scaling by a power of two is exact, and so is the bin that a value falls into.
        bins = np.ldexp(np.abs(nonzero), _BITS - self._exponent).astype(np.int64)
        bins[nonzero > 0] += BINS
        self.counts += np.bincount(bins, minlength=2 * BINS).reshape(2, BINS)

    def _grow(self, exponent: int) -> None:
        shift = exponent - self._exponent
        if shift <= 0:
            return
        merged = self.counts.reshape(2, -1, 1 << min(shift, _BITS)).sum(axis=2)
        self.counts = np.zeros_like(self.counts)
        self.counts[:, : merged.shape[1]] = merged
        self._exponent = exponent
