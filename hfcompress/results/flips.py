"""Answers that are others than the reference's: how many, and of which classes."""

from __future__ import annotations

from hfcompress.results.records import Record


class ClassResult(Record):
    """How one class fares.

    Attributes:
        label: the class's name.
        rows: items of this class: rows, or words where each has a tag.
        recall: the share of them that the artifact answers with this class.
        reference_recall: the same of the reference of `flips`; null without one.
        won, lost: decisions about the class that are right where the reference's are wrong, and the reverse. With one
            class an item these are its items; of several classes a row every row decides about every class.
    """

    label: str
    rows: int
    recall: float
    reference_recall: float | None = None
    won: int = 0
    lost: int = 0


class Flips(Record):
    """Answers that are others than the reference's, on the same rows.

    Attributes:
        against: the reference.
        split: the role of the split that was read.
        answers: all decisions that were compared: rows, words, masked tokens, or rows times classes.
        changed: those that differ.
        won, lost: right where the reference was wrong, and the reverse; the others are as right or wrong as before.
    """

    against: str
    split: str
    answers: int
    changed: int
    won: int
    lost: int
