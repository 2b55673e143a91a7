"""From a `row_id` to the place of its row, with memory that does not grow with the rows."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from hfcompress.errors import DataError, InputError

#: Rows that are sorted in memory, and pairs of all runs together that wait to be merged.
_RUN, _WAITING = 1 << 16, 1 << 13
_PAIR = np.dtype([("row_id", np.int64), ("place", np.int64)])


class RowIndex:
    """Sorted row ids and their places.

    Args:
        row_id: (rows,) int64, ascending; may be memory-mapped.
        place: (rows,) int64, the place of each.
    """

    def __init__(self, row_id: np.ndarray, place: np.ndarray) -> None:
        self._row_id, self._place = row_id, place

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._row_id)

    def places(self, row_id: np.ndarray) -> np.ndarray:
        """The places (N,) of row ids (N,).

        Raises:
            InputError: a row is not here.
        """
        found = np.searchsorted(self._row_id, row_id).clip(max=len(self._row_id) - 1)
        strange = row_id[self._row_id[found] != row_id]
        if len(strange):
            raise InputError(
                f"the teacher cache does not hold row {strange[0]}: it was filled with other rows; fill it with these, "
                "or set `teacher_cache: off`"
            )
        places: np.ndarray = self._place[found]
        return places


def write_index(folder: Path, chunks: Iterable[np.ndarray], rows: int) -> None:
    """Sort `rows` row ids, which come in chunks in the order of their places, into `row_id.npy` and `place.npy`.

    An external merge sort: runs are sorted in memory, written, and merged.

    Raises:
        DataError: a row id comes twice.
    """
    runs = _create(folder / "runs.npy", rows, _PAIR)
    starts = _write_runs(runs, chunks)
    row_id, place = (_create(folder / f"{name}.npy", rows, np.dtype(np.int64)) for name in ("row_id", "place"))
    last, start = None, 0
    for pairs in _merged(runs, starts):
        end = start + len(pairs)
        row_id[start:end], place[start:end] = pairs["row_id"], pairs["place"]
        _check_ascending(pairs["row_id"], last)
        last, start = int(pairs["row_id"][-1]), end
    (folder / "runs.npy").unlink()


def _create(path: Path, rows: int, dtype: np.dtype) -> np.ndarray:
    return np.lib.format.open_memmap(path, "w+", dtype, (rows,))


def _write_runs(runs: np.ndarray, chunks: Iterable[np.ndarray]) -> list[int]:
    """Every run sorted by row id; where runs begin."""
    starts, end = [], 0
    for chunk in chunks:
        for part in (chunk[at : at + _RUN] for at in range(0, len(chunk), _RUN)):
            starts.append(end)
            order = np.argsort(part, kind="stable")
            run = runs[end : end + len(part)]
            run["row_id"], run["place"] = part[order], end + order
            end += len(part)
    return starts


def _merged(runs: np.ndarray, starts: list[int]) -> Iterator[np.ndarray]:
    """All pairs in the order of their row ids, some at a time."""
    ends = [*starts[1:], len(runs)]
    if all(runs["row_id"][end - 1] < runs["row_id"][end] for end in starts[1:]):  # as they mostly are
        yield from (np.array(runs[start:end]) for start, end in zip(starts, ends, strict=True))
        return
    at_once = max(1, _WAITING // len(starts))
    merged = heapq.merge(*(_pairs(runs[start:end], at_once) for start, end in zip(starts, ends, strict=True)))
    while len(pairs := np.fromiter(islice(merged, _RUN), _PAIR)):
        yield pairs


def _pairs(run: np.ndarray, at_once: int) -> Iterator[tuple[int, int]]:
    for at in range(0, len(run), at_once):
        yield from run[at : at + at_once].tolist()


def _check_ascending(row_id: np.ndarray, last: int | None) -> None:
    ids = row_id if last is None else np.concatenate([[last], row_id])
    # Not their differences, which overflow.
    twice = np.flatnonzero(ids[1:] <= ids[:-1])
    if len(twice):
        raise DataError(
            f"row_id {ids[twice[0]]} comes twice; a teacher cache needs one that is unique for each prepared row"
        )
