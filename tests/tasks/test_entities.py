"""Entities by hand, by brute force, and as counts of a corpus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.tasks.columns import Ragged
from hfcompress.tasks.entities import entities, is_iob, shared_entities

NAMES = ("O", "B-A", "I-A", "B-B", "I-B")
SENTENCES = st.lists(st.sampled_from(NAMES), max_size=9)


def brute_force(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Every span of one type that is begun at its start, only continued within, and not continued after its end."""

    def kind(place: int) -> str:
        return tags[place][2:] if 0 <= place < len(tags) else ""

    def begins(place: int) -> bool:
        return kind(place) != "" and (tags[place][0] == "B" or kind(place - 1) != kind(place))

    def continues(place: int) -> bool:
        return place < len(tags) and tags[place][0] == "I" and kind(place) == kind(place - 1)

    return [
        (kind(first), first, last)
        for first in range(len(tags))
        for last in range(first, len(tags))
        if begins(first) and all(continues(place) for place in range(first + 1, last + 1)) and not continues(last + 1)
    ]


@pytest.mark.parametrize(
    "tags, expected",
    [
        (["B-PER", "I-PER", "O", "B-LOC"], [("PER", 0, 1), ("LOC", 3, 3)]),  # the example of seqeval's own docstring
        (["O", "O"], []),
        ([], []),
        (["B-A", "B-A"], [("A", 0, 0), ("A", 1, 1)]),
        (["I-A", "I-A"], [("A", 0, 1)]),
        (["O", "I-A", "O"], [("A", 1, 1)]),
        (["B-A", "I-B"], [("A", 0, 0), ("B", 1, 1)]),
        (["B-A", "I-A", "I-B", "I-A"], [("A", 0, 1), ("B", 2, 2), ("A", 3, 3)]),
        (["B-a-b", "I-a-b"], [("a-b", 0, 1)]),
    ],
)
def test_entities_by_hand(tags: list[str], expected: list[tuple[str, int, int]]) -> None:
    assert list(entities(tags)) == expected == brute_force(tags)


@given(SENTENCES)
def test_entities_are_those_that_a_search_over_all_spans_finds(tags: list[str]) -> None:
    assert list(entities(tags)) == brute_force(tags)


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=7), min_size=1, max_size=5))
def test_counts_of_a_corpus_are_those_of_its_sentences(corpus: list[list[tuple[int, int]]]) -> None:
    lengths = np.array([len(sentence) for sentence in corpus])
    flat = np.array([pair for sentence in corpus for pair in sentence], dtype=np.int64).reshape(-1, 2)
    counts = shared_entities(Ragged(flat[:, 0], lengths), Ragged(flat[:, 1], lengths), NAMES)
    for row, sentence in enumerate(corpus):
        actual, predicted = (set(brute_force([NAMES[pair[side]] for pair in sentence])) for side in (0, 1))
        assert counts[row].tolist() == [len(actual & predicted), len(predicted), len(actual)]


@pytest.mark.parametrize(
    "names, found",
    [
        (NAMES, True),
        (("B-A", "I-A"), True),
        (("O",), False),
        (("NOUN", "VERB"), False),
        (("O", "B-A", "S-A"), False),
    ],
)
def test_tags_are_of_entities_when_they_begin_with_b_or_i(names: tuple[str, ...], found: bool) -> None:
    assert is_iob(names) is found
