"""How long rows are, against the rows one by one."""

from __future__ import annotations

import numpy as np
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.tasks.lengths import Lengths


@given(st.lists(st.lists(st.integers(1, 60), max_size=30), max_size=3))
def test_a_histogram_says_what_the_rows_say(splits: list[list[int]]) -> None:
    lengths = Lengths.of(Dataset.from_dict({"length": split}) for split in splits if split)
    rows = [row for split in splits for row in split]
    assert bool(lengths) == bool(rows)
    if rows:
        assert (lengths.shortest, lengths.longest) == (min(rows), max(rows))
        assert all(lengths.longer_than(n) == sum(row > n for row in rows) for n in range(62))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_half_of_all_tokens_are_in_rows_up_to_the_usual_length(rows: list[int]) -> None:
    usual = Lengths.of([Dataset.from_dict({"length": rows})]).usual
    assert usual in rows
    assert sum(row for row in rows if row <= usual) >= sum(rows) / 2 > sum(row for row in rows if row < usual) - 1e-9


def test_images_have_no_length() -> None:
    assert not Lengths.of([Dataset.from_dict({"pixel_values": np.zeros((2, 3)).tolist()})])
