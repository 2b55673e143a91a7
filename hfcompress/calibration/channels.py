"""What a stream of rows says of each channel: the extremes, and a sample of rows that had no part in some of them."""

from __future__ import annotations

import numpy as np

from hfcompress.errors import InputError


class ChannelExtremes:
    """The smallest and largest value of each channel.

    Attributes:
        low, high: (channels,) float64; empty before the first row.
    """

    def __init__(self) -> None:
        self.low = self.high = np.empty(0)

    @property
    def largest(self) -> np.ndarray:
        """(channels,) the largest |value| of each."""
        return np.maximum(-self.low, self.high)

    def update(self, rows: np.ndarray) -> None:
        """Take rows into account, (rows, channels)."""
        if len(rows) == 0:
            return
        low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
        first = self.low.size == 0
        self.low = low if first else np.minimum(self.low, low)
        self.high = high if first else np.maximum(self.high, high)


class Channels:
    """Extremes of all rows; those of one half of them, drawn at random; and a sample of the other half.

    What is derived from the first half can be judged on the second as it will do on rows that nobody has seen. Memory
    stays what it was.

    Args:
        sample: rows that are kept. Every row gets a random key, and those of the smallest keys stay.
        seed: of the halves and keys.

    Attributes:
        all: of all rows.
        half: of the first half.
        rows: (at most `sample`, channels) float32, of the second half.
    """

    def __init__(self, sample: int = 1024, seed: int = 0) -> None:
        self.all, self.half = ChannelExtremes(), ChannelExtremes()
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
        rows = values.reshape(-1, values.shape[-1])
        if len(rows) == 0:
            return
        if not np.isfinite(rows.sum()):  # a finite sum has no other parts
            bad = int(rows.size - np.isfinite(rows).sum())
            if bad:
                raise InputError(f"{bad} of {rows.size} values are NaN or infinite")
        first = self._random.random(len(rows)) < 0.5
        if self.half.low.size == 0:
            first[0] = True
        self.all.update(rows)
        self.half.update(rows[first])
        self._keep(rows[~first])

    def _keep(self, rows: np.ndarray) -> None:
        keys = self._random.random(len(rows))
        if len(self._keys) == self._sample:
            chosen = keys < self._keys.max()
            keys, rows = keys[chosen], rows[chosen]
        rows = rows.astype(np.float32)
        if len(self._keys):
            keys, rows = np.concatenate([self._keys, keys]), np.concatenate([self.rows, rows])
        order = np.argsort(keys)[: self._sample]
        self._keys, self.rows = keys[order], rows[order]
