"""The text inside binary data, as the command `strings` finds it: what a search for text has to look at."""

from __future__ import annotations

import numpy as np

#: Bytes that a shorter run has are not shown.
SHORTEST = 6
_PRINTABLE = np.zeros(256, dtype=bool)
_PRINTABLE[0x20:0x7F] = True
_PRINTABLE[[0x09, 0x0A, 0x0D]] = True


def strings(data: bytes) -> bytes:
    """Every run of at least `SHORTEST` printable ASCII bytes, joined by zero bytes.

    Weights are numbers of which few look like text: what is left of them is some hundredths.
    """
    if len(data) < SHORTEST:
        return b""
    one = _PRINTABLE[np.frombuffer(data, dtype=np.uint8)]
    two = one[:-1] & one[1:]
    four = two[:-2] & two[2:]
    six = four[:-2] & two[4:]  # whether six in a row begin here
    edges = np.flatnonzero(np.diff(six, prepend=False, append=False))
    starts, ends = edges[0::2].tolist(), (edges[1::2] + SHORTEST - 1).tolist()
    return b"\0".join(data[start:end] for start, end in zip(starts, ends, strict=True))
