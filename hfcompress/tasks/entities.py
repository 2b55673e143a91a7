"""Entities in a sequence of IOB2 tags, and how many of them two sequences share.

As seqeval counts them by default, which is how conlleval (Tjong Kim Sang and De Meulder 2003, CoNLL-2003) reads tags
that break the scheme: an `I-` that continues nothing begins an entity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hfcompress.tasks.columns import Ragged


def is_iob(names: Sequence[str]) -> bool:
    """Whether tags are `O`, `B-...` and `I-...`, with at least one entity among them."""
    return set(names) != {"O"} and all(name == "O" or name.startswith(("B-", "I-")) for name in names)


def entities(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(type, first, last) of each entity of a sentence, in order; `last` is included."""
    kind: str | None = None
    first = 0
    for place, tag in enumerate([*tags, "O"]):
        if tag.startswith("I-") and kind == tag[2:]:
            continue
        if kind is not None:
            yield kind, first, place - 1
        kind, first = None if tag == "O" else tag[2:], place


def shared_entities(labels: Ragged, predictions: Ragged, names: Sequence[str]) -> np.ndarray:
    """Entities of each row: predicted rightly (type and both ends), predicted, and labelled; (N, 3) int64.

    Args:
        labels, predictions: tag ids of the same words.
        names: tags by their ids.
    """
    counts = np.zeros((len(labels), 3), dtype=np.int64)
    for row, both in enumerate(zip(labels.split(), predictions.split(), strict=True)):
        actual, predicted = (set(entities([names[tag] for tag in tags])) for tags in both)
        counts[row] = len(actual & predicted), len(predicted), len(actual)
    return counts
