"""Answers one by one, where each is right or wrong by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Decisions:
    """The decisions of one model on a split, in an order that all models share.

    Attributes:
        answer: (M,), what was decided.
        right: (M,) bool.
        about: (M,) int64, the class that each decision is about; None for a task without classes.
        positive: (M,) bool, whether the item is of that class; None: every one is.
    """

    answer: np.ndarray
    right: np.ndarray
    about: np.ndarray | None = None
    positive: np.ndarray | None = None

    @classmethod
    def of_classes(cls, predicted: np.ndarray, label: np.ndarray) -> Self:
        """One class an item: `predicted` and `label` (M,) int64; a decision is about the class that is right."""
        return cls(predicted, predicted == label, label)

    @classmethod
    def of_sets(cls, predicted: np.ndarray, label: np.ndarray) -> Self:
        """Several classes a row: `predicted` and `label` (N, C) of 0 and 1; a decision for each row and class."""
        about = np.broadcast_to(np.arange(label.shape[1]), label.shape)
        return cls(predicted.ravel(), (predicted == label).ravel(), about.ravel(), (label == 1).ravel())

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
