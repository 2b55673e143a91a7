"""Which rows are computed together: padding is the largest waste, and a batch that is too large leaves the caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hfcompress.errors import InputError


@dataclass(frozen=True)
class Batching:
    """How rows become batches.

    Attributes:
        rows: most rows of a batch.
        tokens: most tokens of a batch, padding included: its rows times its longest one. A row that alone has more is a
            batch of its own. None: rows alone are counted.
        sort: longest rows first, so that rows of about one length meet; False: in the order of arrival.
    """

    rows: int = 32
    tokens: int | None = None
    sort: bool = True

    def __post_init__(self) -> None:
        for name in ("rows", "tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} of a batch should be 1 or more, got {value}")

    def __str__(self) -> str:
        tokens = "" if self.tokens is None else f", {self.tokens} tokens"
        return f"{'sorted' if self.sort else 'arrival'}, {self.rows} {'row' if self.rows == 1 else 'rows'}{tokens}"

    def groups(self, lengths: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """The rows of each batch, as places in `lengths`; every place is in one batch.

        Args:
            lengths: tokens of each row; for rows that have no length, ones.
        """
        sizes = np.asarray(lengths)
        order = np.argsort(-sizes, kind="stable") if self.sort else np.arange(len(sizes))
        groups: list[list[int]] = []
        longest = 0
        for place in order.tolist():
            longest = max(longest, int(sizes[place]))
            if not groups or not self._holds(len(groups[-1]) + 1, longest):
                groups.append([])
                longest = int(sizes[place])
            groups[-1].append(place)
        return [np.asarray(group) for group in groups]

    def _holds(self, rows: int, longest: int) -> bool:
        return rows <= self.rows and (self.tokens is None or rows * longest <= self.tokens)
