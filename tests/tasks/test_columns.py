"""Columns of unequal rows against lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.tasks.columns import Ragged, concatenate, ragged_where, take

ROWS = st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=6)


def ragged(rows: list[list[int]]) -> Ragged:
    return Ragged(np.array([x for row in rows for x in row], dtype=np.int64), np.array([len(row) for row in rows]))


def as_lists(column: object) -> list[list[int]]:
    assert isinstance(column, Ragged)
    return [row.tolist() for row in column.split()]


@given(ROWS, st.data())
def test_taking_and_joining_rows_are_those_of_lists(rows: list[list[int]], data: st.DataObject) -> None:
    order = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    assert as_lists(take(ragged(rows), np.array(order, dtype=np.int64))) == [rows[index] for index in order]
    assert as_lists(concatenate([ragged(rows), ragged(rows[:1])])) == rows + rows[:1]
    assert ragged(rows).row.tolist() == [index for index, row in enumerate(rows) for _ in row]


@given(ROWS)
def test_what_is_kept_of_a_padded_batch_are_its_rows(rows: list[list[int]]) -> None:
    width = max(map(len, rows)) + 1
    values = np.array([row + [0] * (width - len(row)) for row in rows])
    kept = np.arange(width) < np.array([[len(row)] for row in rows])
    assert as_lists(ragged_where(values, kept)) == rows


def test_equal_rows_are_arrays() -> None:
    assert take(np.eye(3), np.array([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert concatenate([np.eye(2), np.eye(2)]).shape == (4, 2)
