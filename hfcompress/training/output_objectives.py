"""Parts of the loss that compare outputs: with labels, and with a teacher's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from hfcompress.errors import InputError
from hfcompress.recipe.objectives import DistillationObjectives, Part
from hfcompress.training import losses
from hfcompress.training.answers import Answer
from hfcompress.training.heads import Batch, Head, Labels, Regression
from hfcompress.training.objective import Count, Objective


class LabelLoss(Objective):
    """The task's own loss."""

    part: ClassVar[Part] = "label"
    count: ClassVar[Count] = "labelled"
    asks_teacher: ClassVar[bool] = False

    def __init__(self, head: Head, smoothing: float = 0.0) -> None:
        if smoothing and isinstance(head, Regression | Labels):
            raise InputError(f"label_smoothing_factor does not suit {head}; leave it at 0")
        self._head = head
        self._smoothing = smoothing

    def __call__(self, student: Answer, teacher: Answer, batch: Batch) -> Tensor:
        """See `Objective`."""
        labelled = self._head.labelled(batch)
        if labelled is None:
            raise InputError(
                f"the batch holds no labels for {self._head} to learn from; add them, or set label_weight to 0"
            )
        values = self._head.label_losses(student.outputs, batch, self._smoothing)
        return torch.where(labelled, values, 0.0).sum()


class SoftTargets(Objective):
    """The comparison of outputs: KL and its kin, or squared differences. See `losses`."""

    part: ClassVar[Part] = "kl"
    count: ClassVar[Count] = "compared"

    def __init__(self, head: Head, config: DistillationObjectives) -> None:
        self._head = head
        self._compare = head.comparison(config.soft_loss)
        self._config = config

    def __call__(self, student: Answer, teacher: Answer, batch: Batch) -> Tensor:
        """See `Objective`."""
        ours = self._head.compared(student.outputs, batch)
        if "topk_ids" in teacher.outputs:
            return self._top_k(ours, teacher.outputs, batch)
        theirs = self._head.compared(teacher.outputs, batch)
        if ours.shape != theirs.shape:
            raise InputError(
                f"student and teacher give outputs of other shapes, {tuple(ours.shape)} and {tuple(theirs.shape)}; "
                "choose a teacher with as many classes (for embeddings: with the same width)"
            )
        return self._compare(ours, theirs, self._config.temperature, self._config.beta).sum()

    def _top_k(self, ours: Tensor, outputs: Mapping[str, Any], batch: Batch) -> Tensor:
        if self._config.soft_loss not in (None, "forward_kl"):
            raise InputError(
                f"soft_loss {self._config.soft_loss!r} needs all classes of the teacher, and its cache keeps the "
                "likeliest; use forward_kl, or set teacher_cache to off"
            )
        names = ("topk_log_probs", "topk_ids", "rest_log_prob")
        log_probs, ids, rest = (self._head.compared({"logits": outputs[name]}, batch) for name in names)
        return losses.top_k_kl(ours, log_probs, ids, rest, temperature=self._config.temperature).sum()
