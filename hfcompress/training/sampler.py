"""The order of the training rows: a function of seed and epoch alone, so that a stopped run resumes exactly.

Both samplers give one order for all processes together: whoever shards it into batches of 8 for two processes trains
on the same rows, step by step, as one process with batches of 16.

Memory: one int64 for a row's length and one for its place in the epoch, 16 bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

MEGABATCH = 50
"""Global batches that are sorted together: enough for little padding, few enough to stay random."""

_Indices: TypeAlias = NDArray[np.int64]


class ShuffledSampler(Sampler[int]):
    """All of `rows` rows in a random order that depends on `seed` and the epoch only."""

    def __init__(self, rows: int, seed: int) -> None:
        self.rows = rows
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration; without it every epoch has the order of epoch 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        for index in self._order():
            yield int(index)

    def _order(self) -> _Indices:
        # A generator of its own: the global one is also drawn from by dropout, and its state differs after a resume.
        return np.random.default_rng((self.seed, self.epoch)).permutation(self.rows)


class LengthGroupedSampler(ShuffledSampler):
    """A random order in which rows of like length come together, so that batches need little padding.

    The rows are shuffled, cut into megabatches of 50 global batches, and each megabatch is sorted by length, longest
    first (as `transformers.trainer_pt_utils.LengthGroupedSampler` does, but with a generator of its own).

    Args:
        lengths: one length for each row, `[rows]`, in any unit that sorts like the cost (tokens).
        global_batch: rows in one optimizer step, over all processes and accumulation steps.
        seed: with the epoch, all that the order depends on.
    """

    def __init__(self, lengths: ArrayLike, global_batch: int, seed: int) -> None:
        self.lengths: _Indices = np.asarray(lengths, dtype=np.int64)
        super().__init__(len(self.lengths), seed)
        self.megabatch = MEGABATCH * global_batch

    def _order(self) -> _Indices:
        order = super()._order()
        for start in range(0, len(order), self.megabatch):
            block = order[start : start + self.megabatch]
            block[:] = block[np.argsort(-self.lengths[block], kind="stable")]
        return order


def column_lengths(dataset: Any, column: str) -> _Indices | None:
    """The integers of `column` of a `datasets.Dataset` as `[rows]`; None for a dataset without that column."""
    if column not in (getattr(dataset, "column_names", None) or ()):
        return None
    return np.asarray(dataset.with_format("numpy")[column][:], dtype=np.int64)
