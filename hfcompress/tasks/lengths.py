"""How long the rows of data are, in tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Lengths:
    """A histogram of lengths, after text was cut.

    Attributes:
        counts: entry i is the number of rows with i tokens; int64. Empty for rows that have no length, such as images.
    """

    counts: np.ndarray

    @classmethod
    def of(cls, prepared: Iterable[Dataset]) -> Self:
        """Of the prepared rows of one or more splits; see `Data.prepared`."""
        columns = [np.asarray(rows["length"]) for rows in prepared if "length" in rows.column_names and len(rows)]
        return cls(np.bincount(np.concatenate(columns)) if columns else np.zeros(0, dtype=np.int64))

    def __bool__(self) -> bool:
        return bool(self.counts.sum())

    @property
    def shortest(self) -> int:
        """Tokens of the shortest row."""
        return int(np.flatnonzero(self.counts)[0])

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return int(np.flatnonzero(self.counts)[-1])

    @property
    def usual(self) -> int:
        """The length up to which half of all tokens lie: where half of the work is done."""
        tokens = np.cumsum(self.counts * np.arange(len(self.counts)))
        return int(np.searchsorted(tokens, tokens[-1] / 2))

    def longer_than(self, tokens: int) -> int:
        """How many rows have more tokens."""
        return int(self.counts[tokens + 1 :].sum())
