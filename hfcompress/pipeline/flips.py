"""Which answers an artifact changes: counted for `results.json`, as a whole and by class, and listed one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np

from hfcompress.pipeline.predictions import Predictions
from hfcompress.recipe.data import Split
from hfcompress.report.evidence import Flip, Verdict
from hfcompress.results import ClassResult, Flips
from hfcompress.tasks.data import Data
from hfcompress.tasks.decisions import Decisions, Pair, pair

#: Flips of one artifact that are listed; all are counted.
MOST_LISTED = 150
#: What is listed first: what the artifact lost.
_ORDER: tuple[Verdict, ...] = ("lost", "changed", "won")


def count_flips(
    answers: Mapping[str, Predictions], names: tuple[str, str | None], data: Data, split: Split
) -> tuple[Flips | None, tuple[ClassResult, ...]]:
    """The flips of the first of `names` against the second, on one split, and every class that the split holds.

    Without a second, or where its answers do not pair, there are no flips and the classes have no reference. Without
    answers that are right or wrong by themselves there is nothing.
    """
    name, against = names
    ours = _decisions(answers, name, data)
    if ours is None:
        return None, ()
    found = _paired(answers, names, data)
    classes = tuple(_classes(ours, found, data.labels.names)) if ours.about is not None else ()
    if found is None or against is None:
        return None, classes
    flips = Flips(
        against=against,
        split=split,
        answers=len(ours.right),
        changed=int(found.changed.sum()),
        won=int(found.won.sum()),
        lost=int(found.lost.sum()),
    )
    return flips, classes


def list_flips(answers: Mapping[str, Predictions], names: tuple[str, str], data: Data) -> tuple[Flip, ...]:
    """The flips of the first of `names` against the second: lost ones first, `MOST_LISTED` at most.

    Right answers in other words are no flips to look at. Nothing where answers do not pair, are not right or wrong by
    themselves, or are ids of tokens.
    """
    found = _paired(answers, names, data)
    if found is None or not found.after.readable:
        return ()
    rows = _array(answers[names[0]], "row_id")
    flips = sorted(_flips(found, rows, data.labels.names), key=lambda each: (_ORDER.index(each.verdict), each.row))
    return tuple(flips[:MOST_LISTED])


def _paired(answers: Mapping[str, Predictions], names: tuple[str, str | None], data: Data) -> Pair | None:
    name, against = names
    if against is None or not {name, against} <= set(answers):
        return None
    if not np.array_equal(_array(answers[name], "row_id"), _array(answers[against], "row_id")):
        return None
    return pair(_decisions(answers, against, data), _decisions(answers, name, data))


def _decisions(answers: Mapping[str, Predictions], name: str, data: Data) -> Decisions | None:
    return data.task.decisions(answers[name], data.labels) if name in answers else None


def _classes(ours: Decisions, found: Pair | None, names: tuple[str, ...]) -> Iterator[ClassResult]:
    for index, label in enumerate(names):
        rows, recall = ours.recall(index)
        if rows == 0:
            continue
        if found is None:
            yield ClassResult(label=label, rows=rows, recall=recall)
            continue
        about = ours.of_class(index)
        won, lost = (int((flipped & about).sum()) for flipped in (found.won, found.lost))
        reference = found.before.recall(index)[1]
        yield ClassResult(label=label, rows=rows, recall=recall, reference_recall=reference, won=won, lost=lost)


def _flips(found: Pair, rows: np.ndarray, names: tuple[str, ...]) -> Iterator[Flip]:
    before, after = found.before, found.after
    for place in np.flatnonzero(found.changed & ~(before.right & after.right)).tolist():
        yield Flip(
            row=int(rows[after.row[place]]),
            word=None if after.word is None else int(after.word[place]),
            about=None if after.about is None else names[after.about[place]],
            verdict="lost" if before.right[place] else "won" if after.right[place] else "changed",
            label=after.truth_in_words(place, names),
            before=before.answer_in_words(place, names),
            after=after.answer_in_words(place, names),
        )


def _array(predictions: Predictions, name: str) -> np.ndarray:
    return cast("np.ndarray", predictions[name])
