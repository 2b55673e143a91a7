"""Answers one by one, where each is right or wrong by itself; and those of two models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Decisions:
    """The decisions of one model on a split, in an order that all models share.

    Attributes:
        answer: (M,), what was decided: ids of classes or tokens, 0 or 1, or texts.
        right: (M,) bool.
        row: (M,) int64, position of each decision's row among the answers.
        word: (M,) int64, position in its row of the word or token that each is about; None for one about the row.
        about: (M,) int64, the class that each decision is about; None for a task without classes.
        positive: (M,) bool, whether the item is of that class; None: every one is.
    """

    answer: np.ndarray
    right: np.ndarray
    row: np.ndarray
    word: np.ndarray | None = None
    about: np.ndarray | None = None
    positive: np.ndarray | None = None

    @classmethod
    def of_rows(cls, answer: np.ndarray, right: np.ndarray) -> Self:
        """One a row, without classes: both (N,)."""
        return cls(answer, right, np.arange(len(answer)))

    @classmethod
    def of_classes(
        cls, predicted: np.ndarray, label: np.ndarray, row: np.ndarray | None = None, word: np.ndarray | None = None
    ) -> Self:
        """One class an item: `predicted` and `label` (M,) int64; a decision is about the class that is right.

        Without `row` an item is a row.
        """
        return cls(predicted, predicted == label, np.arange(len(label)) if row is None else row, word, about=label)

    @classmethod
    def of_sets(cls, predicted: np.ndarray, label: np.ndarray) -> Self:
        """Several classes a row: `predicted` and `label` (N, C) of 0 and 1; a decision for each row and class."""
        row, about = (index.ravel() for index in np.indices(label.shape))
        right = (predicted == label).ravel()
        return cls(predicted.ravel(), right, row, about=about, positive=(label == 1).ravel())

    def of_class(self, index: int) -> np.ndarray:
        """(M,) bool: the decisions about a class."""
        return np.zeros(len(self.right), dtype=bool) if self.about is None else self.about == index

    def recall(self, index: int) -> tuple[int, float]:
        """Items of a class, and the share of them that was found; 0 of 0 is NaN."""
        items = self.of_class(index)
        if self.positive is not None:
            items = items & self.positive
        count = int(items.sum())
        return count, float(self.right[items].mean()) if count else float("nan")

    @property
    def readable(self) -> bool:
        """Whether answers can be said in words: ids of a vocabulary's tokens cannot."""
        return self.about is not None or self.answer.dtype.kind not in "iu"

    def answer_in_words(self, place: int, names: Sequence[str]) -> str:
        """One answer: a class, `not` a class, or a text."""
        if self.about is None:
            return str(self.answer[place])
        if self.positive is None:
            return names[int(self.answer[place])]
        return _whether(names[int(self.about[place])], bool(self.answer[place]))

    def truth_in_words(self, place: int, names: Sequence[str]) -> str:
        """What would be right, said likewise; nothing for texts, of which several may be right."""
        if self.about is None:
            return ""
        return _whether(names[int(self.about[place])], self.positive is None or bool(self.positive[place]))


def _whether(name: str, holds: bool) -> str:
    return name if holds else f"not {name}"


@dataclass(frozen=True)
class Pair:
    """The same decisions by two models: `before` is the reference's."""

    before: Decisions
    after: Decisions

    @property
    def changed(self) -> np.ndarray:
        """(M,) bool: where the two differ."""
        changed: np.ndarray = self.before.answer != self.after.answer
        return changed

    @property
    def won(self) -> np.ndarray:
        """(M,) bool: right, where the reference is wrong."""
        won: np.ndarray = self.after.right & ~self.before.right
        return won

    @property
    def lost(self) -> np.ndarray:
        """(M,) bool: wrong, where the reference is right."""
        lost: np.ndarray = self.before.right & ~self.after.right
        return lost


def pair(before: Decisions | None, after: Decisions | None) -> Pair | None:
    """Two models' decisions side by side; None where they do not decide about the same words of every row."""
    if before is None or after is None or not np.array_equal(before.row, after.row):
        return None  # their tokenizers leave out other words
    return Pair(before, after)
