"""What a part of the loss is: it takes the student's and the teacher's answer to a batch, and gives a sum over items.

A part is what a recipe calls it; its sum is divided by the count of all micro-batches and processes (see `heads`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from hfcompress.recipe.objectives import Part
from hfcompress.training.answers import Answer, Wants
from hfcompress.training.heads import Batch, Head, rows_of, tokens_of

#: What a sum is divided by: items with a label, items that are compared with the teacher's, or tokens (rows, where
#: there are no tokens).
Count = Literal["labelled", "compared", "tokens"]


def counts_of(head: Head, batch: Batch) -> dict[Count, Tensor]:
    """How many items of each kind a batch holds."""
    labelled, tokens = head.labelled(batch), tokens_of(batch)
    found: dict[Count, Any] = {
        "labelled": 0 if labelled is None else labelled.sum(),
        "compared": head.compared_count(batch),
        "tokens": rows_of(batch) if tokens is None else tokens.sum(),
    }
    device = next(iter(batch.values())).device
    return {name: torch.as_tensor(value, device=device) for name, value in found.items()}


class Objective(ABC):
    """One part of the loss.

    Attributes:
        part: its name.
        count: what its sum is divided by.
        student_wants, teacher_wants: what it needs of the two beside their outputs.
        asks_teacher: whether it needs a teacher.
        projections: modules that are trained with the student and left out of the artifact; None for most.
    """

    part: ClassVar[Part]
    count: ClassVar[Count]
    asks_teacher: ClassVar[bool] = True
    student_wants: Wants = Wants()
    teacher_wants: Wants = Wants()
    projections: nn.Module | None = None

    @abstractmethod
    def __call__(self, student: Answer, teacher: Answer, batch: Batch) -> Tensor:
        """The sum over the batch's items: a scalar. Without a teacher its answer is empty."""

    def probe(self, student: Answer, teacher: Answer) -> None:  # noqa: B027 - most have nothing to learn from it
        """See both answers to one batch before training: to check that they fit, and to build projections.

        Raises:
            InputError: they do not fit.
        """
