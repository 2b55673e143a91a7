"""Tokens of padding that spare a runtime a new shape, and how the outputs lose them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: A length is rounded up to a multiple of this.
STEP = 8
#: The input without which padding would be read as text.
MASK = "attention_mask"


def most_positions(path: Path) -> int | None:
    """How many tokens the model of a graph can take, by the config beside it or in the folder above; None: not said.

    Args:
        path: the graph.
    """
    from hfcompress.intake.json_text import read_mapping

    for folder in (path.parent, path.parent.parent):
        if (folder / "config.json").is_file():
            found: Any = read_mapping(folder / "config.json").get("max_position_embeddings")
            return found if isinstance(found, int) and found > 0 else None
    return None


def rounded(length: int, most: int) -> int:
    """A length, rounded up to a multiple of `STEP` where that is not more than `most`."""
    up = -(-length // STEP) * STEP
    return up if up <= most else length


def padded(batch: Mapping[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    """Token inputs (rows, tokens) at `length` tokens: zeros at the end, which the mask says are none."""
    return {
        name: np.pad(values, ((0, 0), (0, length - values.shape[1]))) if values.ndim == 2 else values
        for name, values in batch.items()
    }
