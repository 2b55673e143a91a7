"""The text inside binary data, as the command `strings` finds it: what a search for text has to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Bytes that a shorter run has are not shown.
SHORTEST = 6
_PRINTABLE = np.zeros(256, dtype=bool)
_PRINTABLE[0x20:0x7F] = True
_PRINTABLE[[0x09, 0x0A, 0x0D]] = True


def strings(data: bytes) -> bytes:
    """Every run of at least `SHORTEST` printable bytes, ASCII or letters of UTF-8, joined by zero bytes.

    Weights are numbers of which few look like text: what is left of them is some hundredths.
    """
    if len(data) < SHORTEST:
        return b""
    one = _printable(np.frombuffer(data, dtype=np.uint8))
    two = one[:-1] & one[1:]
    four = two[:-2] & two[2:]
    six = four[:-2] & two[4:]  # whether six in a row begin here
    edges = np.flatnonzero(np.diff(six, prepend=False, append=False))
    starts, ends = edges[0::2].tolist(), (edges[1::2] + SHORTEST - 1).tolist()
    return b"\0".join(data[start:end] for start, end in zip(starts, ends, strict=True))


def wide_strings(data: bytes) -> bytes:
    """The ASCII text in UTF-16, of either order of bytes, beginning anywhere: each second byte is zero."""
    found: list[bytes] = []
    for begin in (0, 1):
        pairs = np.frombuffer(data, dtype=np.uint8)[begin : begin + (len(data) - begin) // 2 * 2].reshape(-1, 2)
        letters = (np.where(pairs[:, 1 - each] == 0, pairs[:, each], 0).astype(np.uint8) for each in (0, 1))
        found += [strings(each.tobytes()) for each in letters]
    return b"\0".join(text for text in found if text)


def _printable(data: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which bytes are ASCII text, or belong to a letter of two or three bytes in UTF-8."""
    one: NDArray[np.bool_] = _PRINTABLE[data]
    inner = data & 0xC0 == 0x80
    two = (data[:-1] >= 0xC2) & (data[:-1] < 0xE0) & inner[1:]
    three = (data[:-2] & 0xF0 == 0xE0) & inner[1:-1] & inner[2:]
    one[:-1] |= two
    one[1:] |= two
    for place in range(3):
        one[place : len(one) - 2 + place] |= three
    return one
