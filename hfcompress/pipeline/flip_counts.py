"""Which answers an artifact changes, counted as a whole and by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from hfcompress.pipeline.predictions import Predictions
from hfcompress.recipe.data import Split
from hfcompress.results import ClassResult, Flips
from hfcompress.tasks.data import Data
from hfcompress.tasks.decisions import Decisions


def count_flips(
    answers: Mapping[str, Predictions], pair: tuple[str, str | None], data: Data, split: Split
) -> tuple[Flips | None, tuple[ClassResult, ...]]:
    """The flips of the first of `pair` against the second, on one split, and every class that the split holds.

    Without a second, or where it has no answers, there are no flips and the classes have no reference. Without
    answers that are right or wrong by themselves there is nothing.
    """
    name, against = pair
    ours = data.task.decisions(answers[name], data.labels) if name in answers else None
    if ours is None:
        return None, ()
    theirs = None
    if against is not None and against in answers:
        theirs = data.task.decisions(answers[against], data.labels)
    if theirs is not None and len(theirs.right) != len(ours.right):
        theirs = None  # their tokenizers leave out other words, so that nothing can be paired
    classes = tuple(_classes(ours, theirs, data.labels.names)) if ours.about is not None else ()
    if theirs is None or against is None:
        return None, classes
    won, lost = _won_and_lost(ours, theirs)
    changed = int((ours.answer != theirs.answer).sum())
    flips = Flips(
        against=against,
        split=split,
        answers=len(ours.right),
        changed=changed,
        won=int(won.sum()),
        lost=int(lost.sum()),
    )
    return flips, classes


def _won_and_lost(ours: Decisions, theirs: Decisions) -> tuple[np.ndarray, np.ndarray]:
    return ours.right & ~theirs.right, ~ours.right & theirs.right


def _classes(ours: Decisions, theirs: Decisions | None, names: tuple[str, ...]) -> Iterator[ClassResult]:
    for index, label in enumerate(names):
        rows, recall = ours.recall(index)
        if rows == 0:
            continue
        if theirs is None:
            yield ClassResult(label=label, rows=rows, recall=recall)
            continue
        about = ours.of_class(index)
        won, lost = (int((flipped & about).sum()) for flipped in _won_and_lost(ours, theirs))
        reference = theirs.recall(index)[1]
        yield ClassResult(label=label, rows=rows, recall=recall, reference_recall=reference, won=won, lost=lost)
