"""Batches: every row once, within their bounds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.errors import InputError
from hfcompress.runtimes.batching import Batching

LENGTHS = st.lists(st.integers(1, 64), max_size=60)
BATCHINGS = st.builds(Batching, st.integers(1, 20), st.none() | st.integers(1, 200), st.booleans())


@given(LENGTHS, BATCHINGS)
def test_every_row_is_in_one_batch_and_no_batch_exceeds_its_bounds(lengths: list[int], batching: Batching) -> None:
    groups = batching.groups(lengths)
    assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
    for group in groups:
        cost = len(group) * max(lengths[place] for place in group)
        assert len(group) <= batching.rows
        assert batching.tokens is None or cost <= batching.tokens or len(group) == 1


@given(LENGTHS, BATCHINGS)
def test_no_two_neighbours_would_fit_into_one_batch(lengths: list[int], batching: Batching) -> None:
    groups = batching.groups(lengths)
    for group, following in pairwise(groups):
        rows = [*group, following[0]]
        cost = len(rows) * max(lengths[place] for place in rows)
        assert len(rows) > batching.rows or (batching.tokens is not None and cost > batching.tokens)


@given(LENGTHS)
def test_sorted_batches_go_from_long_to_short_and_others_in_the_order_of_arrival(lengths: list[int]) -> None:
    sorted_places = [place for group in Batching(7, 100).groups(lengths) for place in group]
    assert [lengths[place] for place in sorted_places] == sorted(lengths, reverse=True)
    arrived = [place for group in Batching(7, 100, sort=False).groups(lengths) for place in group]
    assert arrived == list(range(len(lengths)))


def test_groups_take_an_array_of_lengths_too() -> None:
    assert [group.tolist() for group in Batching(2).groups(np.array([3, 9, 5]))] == [[1, 2], [0]]


@pytest.mark.parametrize("fields, named", [({"rows": 0}, "rows"), ({"tokens": -3}, "tokens")])
def test_bounds_below_one_are_refused(fields: dict[str, int], named: str) -> None:
    with pytest.raises(InputError, match=f"{named} of a batch should be 1 or more"):
        Batching(**fields)  # type: ignore[arg-type]
