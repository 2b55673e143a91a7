"""Tokens of padding that spare a runtime a new shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: The input without which padding would be read as text.
MASK = "attention_mask"
#: Leading bits of a length that are kept: eight lengths from each power of two to the next.
_BITS = 4


def most_positions(graph: Path) -> int | None:
    """How many tokens a model takes, by the config beside its graph or in the folder above; None: not said."""
    from hfcompress.intake.json_text import read_mapping

    for folder in (graph.parent, graph.parent.parent):
        if (folder / "config.json").is_file():
            found: Any = read_mapping(folder / "config.json").get("max_position_embeddings")
            return found if isinstance(found, int) and found > 0 else None
    return None


def rounded(length: int, most: int) -> int:
    """A length, rounded up to four significant binary digits where that is not more than `most`: at most 1/8 longer.

    Up to 128 tokens there are 40 such lengths, up to 512 there are 56. Rows of random length grow by 3%.
    """
    step = 1 << max(0, length.bit_length() - _BITS)
    up = -(-length // step) * step
    return up if up <= most else length


def padded(batch: Mapping[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    """The inputs of tokens, (rows, tokens), at `length` tokens: zeros at the end, which the mask says are none."""
    shape = batch[MASK].shape
    return {name: _padded(values, length) if values.shape == shape else values for name, values in batch.items()}


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    longer = np.zeros((len(values), length), dtype=values.dtype)  # `np.pad` takes ten times as long
    longer[:, : values.shape[1]] = values
    return longer
