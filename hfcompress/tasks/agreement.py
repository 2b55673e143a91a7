"""How often two models predict the same."""

from __future__ import annotations

import numpy as np

from hfcompress.tasks.columns import Column, Ragged

#: Numbers agree when they differ by at most this share of the range of the reference.
_TOLERANCE = 0.01


def agreement(ours: Column, reference: Column) -> float:
    """The share of equal predictions; numbers (scores, similarities) are equal within 1% of the reference's range."""
    a, b = (column.values if isinstance(column, Ragged) else column for column in (ours, reference))
    if np.issubdtype(b.dtype, np.floating):
        return float((np.abs(a - b) <= _TOLERANCE * np.ptp(b)).mean())
    return float((a == b).mean())
