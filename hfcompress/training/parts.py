"""Running averages of the parts of a loss, and the stop when one of them is not finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hfcompress.errors import TrainingDivergedError

_SHOWN_ROWS = 64


class RunningParts:
    """Averages of named loss parts since the last `averages()`; no part leaves its device before that."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weight = 0.0

    def add(self, parts: Mapping[str, Tensor], weight: float) -> None:
        """Count `parts` (scalars) with `weight`: 1 / accumulation steps, so that every optimizer step counts as 1."""
        for name, value in parts.items():
            weighted = value.detach().float() * weight
            self._sums[name] = self._sums[name] + weighted if name in self._sums else weighted
        self._weight += weight

    def averages(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The averages, over all processes by `reduce` (an elementwise sum over them), and start anew."""
        if not self._sums:
            return {}
        first = next(iter(self._sums.values()))
        totals = reduce(torch.stack([*self._sums.values(), first.new_tensor(self._weight)])).tolist()
        averages = {name: total / totals[-1] for name, total in zip(self._sums, totals[:-1], strict=True)}
        self.clear()
        return averages

    def clear(self) -> None:
        """Forget everything since the last `averages()`."""
        self._sums, self._weight = {}, 0.0


def divergence(
    step: int,
    parts: Mapping[str, Tensor],
    batch: Mapping[str, Any],
    *,
    student_logits: Tensor | None,
    teacher_logits: Tensor | None,
) -> TrainingDivergedError:
    """The error for a loss that is not finite: the step (from 1), the parts, whose logits, and the rows."""
    values = ", ".join(f"{name} {value.item():.4g}" for name, value in parts.items())
    guilty = ", ".join(name for name, value in parts.items() if not value.isfinite().all()) or "their weighted sum"
    if teacher_logits is not None and not teacher_logits.isfinite().all():
        whose, cure = "the teacher's logits are the cause", "check that the teacher was loaded whole, or use float32"
        logits: Tensor | None = teacher_logits
    else:
        whose, cure = "the student's logits are not finite", "lower learning_rate, add warmup, or set max_grad_norm"
        logits = student_logits
        if logits is None or logits.isfinite().all():
            whose, cure = "all logits are finite", "check the labels of these rows"
    return TrainingDivergedError(
        f"the loss became NaN or infinite at step {step} in {guilty} ({values}); {whose}; {_rows(batch, logits)}; "
        f"{cure}; the last good checkpoint is kept"
    )


def _rows(batch: Mapping[str, Any], logits: Tensor | None) -> str:
    ids = batch.get("row_id")
    if ids is None:
        return "the batch has no row_id to name its rows by"
    if logits is not None and len(logits) == len(ids):
        wrong = ~logits.isfinite().flatten(1).all(-1)
        # When every row is finite the fault is in the batch as a whole.
        ids = ids[wrong] if wrong.any() else ids
    shown = ", ".join(str(row) for row in ids[:_SHOWN_ROWS].tolist())
    return f"row_id {shown}{', ...' if len(ids) > _SHOWN_ROWS else ''}"


def non_finite_tensor(model: nn.Module) -> str | None:
    """The first parameter or saved buffer of `model` that holds NaN or infinity; None when all are finite.

    Waits for the device once, not once a tensor.
    """
    tensors = {name: value for name, value in _saved_tensors(model) if value.is_floating_point() and value.numel()}
    if not tensors:
        return None
    finite = torch.stack([value.detach().isfinite().all() for value in tensors.values()]).tolist()
    return next((name for name, good in zip(tensors, finite, strict=True) if not good), None)


def _saved_tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    # Not `state_dict()`, which gathers the shards of a distributed model. Buffers that are not saved, such as
    # attention masks of -inf, may be infinite.
    saved: list[tuple[str, Tensor]] = list(model.named_parameters())
    for prefix, module in model.named_modules():
        saved += [
            (f"{prefix}.{name}", buffer)
            for name, buffer in module.named_buffers(recurse=False)
            if name not in module._non_persistent_buffers_set
        ]
    return saved
