"""What a stream of rows says of each channel: the extremes, and a sample of the rows."""

from __future__ import annotations

import numpy as np

from hfcompress.errors import InputError


class Channels:
    """Extremes of each channel and a uniform sample of rows; memory stays what it was.

    Args:
        sample: rows that are kept. Every row gets a random key, and those of the smallest keys stay.
        seed: of the keys.

    Attributes:
        low, high: (channels,) float64, the smallest and largest value; empty before the first row.
        rows: (at most `sample`, channels) float32.
    """

    def __init__(self, sample: int = 512, seed: int = 0) -> None:
        self.low = self.high = np.empty(0)
        self.rows = np.empty((0, 0), dtype=np.float32)
        self._keys = np.empty(0)
        self._sample = sample
        self._random = np.random.default_rng(seed)

    def update(self, values: np.ndarray) -> None:
        """Take rows into account.

        Args:
            values: (..., channels) floating point.

        Raises:
            InputError: some are NaN or infinite; the caller knows whose they are.
        """
        values = values.reshape(-1, values.shape[-1])
        if len(values) == 0:
            return
        low, high = values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            bad = int(values.size - np.isfinite(values).sum())
            raise InputError(f"{bad} of {values.size} values are NaN or infinite")
        first = self.low.size == 0
        self.low = low if first else np.minimum(self.low, low)
        self.high = high if first else np.maximum(self.high, high)
        self._keep(values)

    def _keep(self, values: np.ndarray) -> None:
        keys = self._random.random(len(values))
        if len(self._keys) == self._sample:
            chosen = keys < self._keys.max(initial=0.0)
            keys, values = keys[chosen], values[chosen]
        rows = values.astype(np.float32)
        if len(self._keys):
            keys, rows = np.concatenate([self._keys, keys]), np.concatenate([self.rows, rows])
        order = np.argsort(keys)[: self._sample]
        self._keys, self.rows = keys[order], rows[order]
