"""What calibration does not look at: the tokens that are padding.

What a model computes for them is arbitrary and never read, and would widen ranges.
"""

from __future__ import annotations

import numpy as np


def without_padding(values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """(..., channels) to (rows, channels): those whose token is none of the padding.

    Args:
        values: activations.
        mask: the model's `attention_mask`, (rows, tokens), 0 where there is padding. Where the leading axes of `values`
            are not those of the mask (one row for each text, patches of an image), all rows stay.
    """
    rows: np.ndarray = values.reshape(-1, values.shape[-1])
    if mask is None or len(rows) != mask.size or values.shape[0] not in (mask.shape[0], mask.size):
        return rows
    kept: np.ndarray = rows[np.asarray(mask).reshape(-1).astype(bool)]
    return kept
