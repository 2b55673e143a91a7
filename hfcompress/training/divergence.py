"""The stop when a loss, a gradient or a weight is not finite: which one, in which part, in which rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from hfcompress.errors import TrainingDivergedError

_SHOWN_ROWS = 64


def loss_divergence(
    step: int,
    parts: Mapping[str, Tensor],
    batch: Mapping[str, Any],
    *,
    student: Mapping[str, Any],
    teacher: Mapping[str, Any],
) -> TrainingDivergedError:
    """The error for a loss that is not finite.

    Args:
        step: the optimizer step that it would have been, from 1.
        parts: name of each part -> its value.
        batch: the rows; `row_id` names them.
        student, teacher: the outputs of both; the teacher's are empty without one.
    """
    values = ", ".join(f"{name} {value.item():.4g}" for name, value in parts.items())
    guilty = ", ".join(name for name, value in parts.items() if not value.isfinite().all()) or "their weighted sum"
    if (output := _broken(teacher)) is not None:
        whose, cure = "the teacher's outputs are the cause", "check that the teacher was loaded whole, or use float32"
    elif (output := _broken(student)) is not None:
        whose, cure = "the student's outputs are not finite", "lower learning_rate, add warmup, or set max_grad_norm"
    else:
        whose, cure = "all outputs are finite", "check the labels of these rows"
    return TrainingDivergedError(
        f"the loss became NaN or infinite at step {step} in {guilty} ({values}); {whose}; {_rows(batch, output)}; "
        f"{cure}; the last good checkpoint is kept"
    )


def gradient_divergence(step: int, parameter: str, parts: list[str], rows: str) -> TrainingDivergedError:
    """The error for a gradient that is not finite although the loss is."""
    return TrainingDivergedError(
        f"the gradient became NaN or infinite at step {step}, first in {parameter}, in the part "
        f"{' and '.join(parts) or 'that is their sum'}; {rows}; lower learning_rate, or check what this part does to "
        "these rows; no step was taken, and the last good checkpoint is kept"
    )


class GradientCheck(TrainerCallback):  # type: ignore[misc]  # Transformers is untyped
    """Calls `blame(parameter)` before an optimizer step whose gradients are not finite.

    Trainer has clipped them by then: a norm of NaN makes every gradient NaN, a norm of infinity makes the finite ones
    0. So one small tensor tells whether a look at all of them is due; reading all at each step would cost up to 5% of
    it on a CPU. Without clipping all of them are read.

    Args:
        blame: finds the cause and raises.
        skip: whether this step is not to be judged: a gradient scaler for float16 skips such steps by itself.
    """

    def __init__(self, blame: Callable[[str], None], skip: Callable[[], bool]) -> None:
        self._blame = blame
        self._skip = skip

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """See the class."""
        if model is None or self._skip():
            return
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        if not gradients or (args.max_grad_norm and not _suspicious(gradients.values())):
            return
        broken = first_non_finite(gradients)
        if broken is not None:
            self._blame(broken)


def _suspicious(gradients: Iterable[Tensor]) -> bool:
    smallest = min(gradients, key=lambda gradient: gradient.numel())
    finite, some = torch.stack([smallest.isfinite().all(), smallest.any()]).tolist()
    return not (finite and some)


def first_non_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The first of these that holds NaN or infinity; None when all are finite. Waits for the device once."""
    floating = {name: value for name, value in tensors.items() if value.is_floating_point() and value.numel()}
    if not floating:
        return None
    finite = torch.stack([value.detach().isfinite().all() for value in floating.values()]).tolist()
    return next((name for name, good in zip(floating, finite, strict=True) if not good), None)


def non_finite_tensor(model: nn.Module) -> str | None:
    """The first parameter or saved buffer of `model` that holds NaN or infinity; None when all are finite."""
    # Not `state_dict()`, which gathers the shards of a distributed model. Buffers that are not saved, such as
    # attention masks of -inf, may be infinite.
    saved: dict[str, Tensor] = dict(model.named_parameters())
    for prefix, module in model.named_modules():
        saved |= {
            f"{prefix}.{name}": buffer
            for name, buffer in module.named_buffers(recurse=False)
            if name not in module._non_persistent_buffers_set
        }
    return first_non_finite(saved)


def rows_named(batch: Mapping[str, Any]) -> str:
    """The row ids of a batch, for a message."""
    return _rows(batch, None)


def _broken(outputs: Mapping[str, Any]) -> Tensor | None:
    """The first output that is not finite."""
    tensors = (value for value in outputs.values() if isinstance(value, Tensor) and value.is_floating_point())
    return next((value for value in tensors if not value.isfinite().all()), None)


def _rows(batch: Mapping[str, Any], output: Tensor | None) -> str:
    ids = batch.get("row_id")
    if ids is None:
        return "the batch has no row_id to name its rows by"
    if output is not None and len(output) == len(ids):
        ids = ids[~output.isfinite().flatten(1).all(-1)]
    shown = ", ".join(str(row) for row in ids[:_SHOWN_ROWS].tolist())
    return f"row_id {shown}{', ...' if len(ids) > _SHOWN_ROWS else ''}"
