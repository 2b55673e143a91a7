"""What is kept of a model's answers: named columns with one entry a row, of equal or of unequal length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np


@dataclass(frozen=True)
class Ragged:
    """Rows of unequal length (the words of sentences), end to end in one array.

    Attributes:
        values: the rows' entries, shape (sum of lengths, ...).
        lengths: entries of each row, shape (N,) int64.
    """

    values: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def row(self) -> np.ndarray:
        """The row of each entry, shape (sum of lengths,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def place(self) -> np.ndarray:
        """The position of each entry in its row, shape (sum of lengths,)."""
        starts = np.cumsum(self.lengths) - self.lengths
        place: np.ndarray = np.arange(len(self.values)) - np.repeat(starts, self.lengths)
        return place

    def split(self) -> list[np.ndarray]:
        """The rows, one array each."""
        return np.split(self.values, np.cumsum(self.lengths)[:-1]) if len(self.lengths) else []


#: Rows on axis 0.
Column: TypeAlias = np.ndarray | Ragged
Columns: TypeAlias = Mapping[str, Column]


def ragged_where(values: np.ndarray, kept: np.ndarray) -> Ragged:
    """Those entries of `values` (N, T, ...) where `kept` (N, T) is true, row by row."""
    return Ragged(values[kept], kept.sum(axis=1).astype(np.int64))


def concatenate(columns: Sequence[Column]) -> Column:
    """Columns of one kind below each other."""
    if isinstance(columns[0], Ragged):
        parts = cast("Sequence[Ragged]", columns)
        return Ragged(np.concatenate([part.values for part in parts]), np.concatenate([part.lengths for part in parts]))
    return np.concatenate(cast("Sequence[np.ndarray]", columns))


def take(column: Column, order: np.ndarray) -> Column:
    """The rows `order` of a column, in that order."""
    if not isinstance(column, Ragged):
        chosen: np.ndarray = column[order]
        return chosen
    starts = np.cumsum(column.lengths) - column.lengths
    lengths = column.lengths[order]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Ragged(column.values[np.repeat(starts[order], lengths) + within], lengths)
