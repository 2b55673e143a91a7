"""A question and a long context as overlapping windows of tokens, and the best span of a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hfcompress.errors import DataError
from hfcompress.tasks.text import INPUTS, longest

#: The offset of tokens that are not of the context.
OUTSIDE = -1
#: The token that stands for an answer that a window does not hold: its first, `[CLS]`.
NO_ANSWER = 0
#: Tokens of the longest answer that is looked for, as in the published scripts for SQuAD.
LONGEST_ANSWER = 30


@dataclass(frozen=True)
class Window:
    """A part of a context with its question.

    Attributes:
        example: which of the examples it is of.
        inputs: `INPUTS` -> T integers.
        offsets: first and last (excluded) character in the context of each token, -1 for tokens outside it; (T, 2).
    """

    example: int
    inputs: dict[str, list[int]]
    offsets: np.ndarray


class Span(NamedTuple):
    """Places of the first and the last token, both included."""

    start: int
    end: int


def windows_of(
    tokenizer: Any, questions: Sequence[str], contexts: Sequence[str], max_length: int, row_ids: Sequence[int] = ()
) -> list[Window]:
    """Windows of at most `max_length` tokens; neighbours share a third of it, so that an answer is whole in one.

    Raises:
        DataError: a question leaves no room for its context; says which, by `row_ids` or its place.
    """
    cut = longest(tokenizer, max_length)
    _check_room(tokenizer, questions, cut, row_ids)
    encoded = tokenizer(
        list(questions),
        list(contexts),
        truncation="only_second",
        max_length=cut,
        stride=cut // 3,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    return [
        Window(
            example=example,
            inputs={name: encoded[name][row] for name in INPUTS},
            offsets=_context_offsets(encoded["offset_mapping"][row], encoded.sequence_ids(row)),
        )
        for row, example in enumerate(encoded["overflow_to_sample_mapping"])
    ]


def _check_room(tokenizer: Any, questions: Sequence[str], cut: int, row_ids: Sequence[int]) -> None:
    for place, ids in enumerate(tokenizer(list(questions), add_special_tokens=False)["input_ids"]):
        if len(ids) > cut // 2:
            row = row_ids[place] if row_ids else place
            raise DataError(
                f"the question in row {row} has {len(ids)} tokens, more than half of the {cut} that a window holds; "
                "raise `max_length`, or shorten the question"
            )


def _context_offsets(offsets: Sequence[tuple[int, int]], sequences: Sequence[int | None]) -> np.ndarray:
    outside = np.array([sequence != 1 for sequence in sequences])
    kept = np.array(offsets, dtype=np.int64)
    kept[outside] = OUTSIDE
    return kept


def span_of(window: Window, start: int, end: int) -> Span:
    """The tokens of the characters start..end (excluded) of the context; `NO_ANSWER` where the window lacks some."""
    first, last = window.offsets.T
    inside = np.flatnonzero(first != OUTSIDE)
    if len(inside) == 0 or first[inside[0]] > start or last[inside[-1]] < end:
        return Span(NO_ANSWER, NO_ANSWER)
    covers = inside[(first[inside] < end) & (last[inside] > start)]
    return Span(int(covers[0]), int(covers[-1])) if len(covers) else Span(NO_ANSWER, NO_ANSWER)


def best_spans(
    start_logits: np.ndarray, end_logits: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The span of each row with the largest sum of logits, of at most `LONGEST_ANSWER` tokens, all of the context.

    Args:
        start_logits, end_logits: (N, T).
        inside: whether a token is of the context, (N, T).

    Returns:
        First token, last token, and the sum, each (N,); the sum is -inf for a row without context.
    """
    rows = np.arange(len(inside))
    starts = np.where(inside, start_logits, -np.inf).astype(np.float64)
    ends = np.where(inside, end_logits, -np.inf).astype(np.float64)
    first, last = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    best = np.full(len(rows), -np.inf)
    for further in range(min(LONGEST_ANSWER, inside.shape[1])):
        sums = starts[:, : inside.shape[1] - further] + ends[:, further:]
        place = sums.argmax(axis=1)
        better = sums[rows, place] > best
        best = np.where(better, sums[rows, place], best)
        first, last = np.where(better, place, first), np.where(better, place + further, last)
    return first, last, best
