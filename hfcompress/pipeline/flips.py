"""Which answers of an artifact are not its reference's, from the kept predictions of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from hfcompress.pipeline.predictions import Predictions
from hfcompress.report.evidence import ArtifactFlips, Flip, FlipCount, Verdict
from hfcompress.tasks.columns import Ragged

#: Flips of one artifact that a page lists; all are counted.
MOST_LISTED = 150
#: What is listed first: what the artifact lost.
_ORDER: tuple[Verdict, ...] = ("lost", "changed", "won")


@dataclass(frozen=True)
class _Answers:
    """Two models' answers to the same questions, one entry an answer.

    Attributes:
        row: row ids, (N,) int64.
        right_before, right_after: whether each is right, (N,) bool.
        differ: whether the two differ, (N,) bool.
        words: label, reference's and artifact's answer of one entry, in words.
        classes: (class, mask (N,)) for each class: the entries whose truth it is.
        word: which word of its row, (N,), or None.
    """

    row: np.ndarray
    right_before: np.ndarray
    right_after: np.ndarray
    differ: np.ndarray
    words: Sequence[Sequence[str]]
    classes: Sequence[tuple[str, np.ndarray]] = ()
    word: np.ndarray | None = None


def flips_of(
    pair: tuple[str, str], ours: Predictions, theirs: Predictions, names: Sequence[str]
) -> ArtifactFlips | None:
    """What an artifact answers otherwise than its reference; None where answers are numbers, or rows do not pair.

    Args:
        pair: the artifact and its reference.
        ours, theirs: their predictions on one split.
        names: class names in the order of their ids.
    """
    if not np.array_equal(_array(ours, "row_id"), _array(theirs, "row_id")):
        return None
    found = _answers(ours, theirs, names)
    if found is None:
        return None
    flips = sorted(_flips(found), key=lambda flip: (_ORDER.index(flip.verdict), flip.row, flip.word or 0))
    return ArtifactFlips(
        artifact=pair[0],
        against=pair[1],
        answers=len(found.row),
        unit="rows" if found.word is None else "words",
        total=_count(found, np.ones(len(found.row), dtype=bool)),
        by_class={name: _count(found, mask) for name, mask in found.classes},
        listed=tuple(flips[:MOST_LISTED]),
    )


def answers_are_private(predictions: Predictions) -> bool:
    """Whether answers are words of the users' own texts."""
    return "exact_match" in predictions


def _answers(ours: Predictions, theirs: Predictions, names: Sequence[str]) -> _Answers | None:
    if "exact_match" in ours:
        return _texts(ours, theirs)
    label, after, before = ours.get("label"), ours["prediction"], theirs["prediction"]
    if label is None or not names or "nll" in ours:  # numbers, or tokens of a vocabulary
        return None
    if isinstance(label, Ragged):
        return _words(_array(ours, "row_id"), label, cast("Ragged", before), cast("Ragged", after), names)
    truth, answers = np.asarray(label), (np.asarray(before), np.asarray(after))
    if truth.ndim == 2:
        return _sets(_array(ours, "row_id"), truth.astype(np.int64), *answers, names)
    return _classes(_array(ours, "row_id"), truth, *answers, names) if truth.dtype.kind in "iu" else None


def _classes(
    row: np.ndarray,
    label: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    names: Sequence[str],
    word: np.ndarray | None = None,
) -> _Answers:
    return _Answers(
        row,
        before == label,
        after == label,
        before != after,
        [[names[index] for index in answers] for answers in (label, before, after)],
        [(name, label == index) for index, name in enumerate(names) if (label == index).any()],
        word,
    )


def _words(row: np.ndarray, label: Ragged, before: Ragged, after: Ragged, names: Sequence[str]) -> _Answers | None:
    if not np.array_equal(before.lengths, after.lengths):
        return None  # cut by tokenizers that differ
    place = np.arange(len(label.values)) - np.repeat(np.cumsum(label.lengths) - label.lengths, label.lengths)
    return _classes(row[label.row], label.values, before.values, after.values, names, place)


def _sets(row: np.ndarray, label: np.ndarray, before: np.ndarray, after: np.ndarray, names: Sequence[str]) -> _Answers:
    """A set is right as a whole; a class counts the rows that have it."""
    named = [
        [", ".join(names[index] for index in np.flatnonzero(each).tolist()) or "none" for each in sets]
        for sets in (label, before, after)
    ]
    return _Answers(
        row,
        (before == label).all(axis=1),
        (after == label).all(axis=1),
        (before != after).any(axis=1),
        named,
        [(name, label[:, index] == 1) for index, name in enumerate(names)],
    )


def _texts(ours: Predictions, theirs: Predictions) -> _Answers:
    """An answer in words is right when it is one of the gold answers, which the predictions do not hold."""
    before, after = _array(theirs, "prediction"), _array(ours, "prediction")
    return _Answers(
        _array(ours, "row_id"),
        _array(theirs, "exact_match") > 0,
        _array(ours, "exact_match") > 0,
        before != after,
        [[""] * len(after), list(map(str, before)), list(map(str, after))],
    )


def _flips(found: _Answers) -> Iterator[Flip]:
    for place in np.flatnonzero(found.differ).tolist():
        label, before, after = (words[place] for words in found.words)
        yield Flip(
            row=int(found.row[place]),
            verdict=_verdict(bool(found.right_before[place]), bool(found.right_after[place])),
            classes=tuple(name for name, mask in found.classes if mask[place]),
            label=label,
            before=before,
            after=after,
            word=None if found.word is None else int(found.word[place]),
        )


def _verdict(right_before: bool, right_after: bool) -> Verdict:
    if right_before == right_after:
        return "changed"
    return "lost" if right_before else "won"


def _count(found: _Answers, among: np.ndarray) -> FlipCount:
    flipped = found.differ & among
    lost, won = flipped & found.right_before & ~found.right_after, flipped & found.right_after & ~found.right_before
    return FlipCount(int(lost.sum()), int(won.sum()), int(flipped.sum() - lost.sum() - won.sum()))


def _array(predictions: Predictions, name: str) -> np.ndarray:
    return cast("np.ndarray", predictions[name])
