"""Distillation losses: pure functions of tensors, each with its source."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def soft_target_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)), averaged over rows.

    Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.1: the factor T² keeps the
    gradient's size when the temperature changes. As T grows the value tends to Σ(centred difference)² / (2C).

    Args:
        student_logits: `[..., C]`, any floating dtype.
        teacher_logits: the same shape. No gradient is meant to reach the teacher: compute them under `no_grad`.
        temperature: T > 0, without unit.

    Returns:
        A scalar in nats, in float32 whatever half precision comes in (float64 stays float64).
    """
    student_log = _log_softmax(student_logits, temperature)
    teacher_log = _log_softmax(teacher_logits, temperature)
    per_class = functional.kl_div(student_log, teacher_log, reduction="none", log_target=True)
    return temperature**2 * per_class.sum(-1).mean()


def _log_softmax(logits: Tensor, temperature: float) -> Tensor:
    # Half precision has too few digits for the difference of two log-probabilities.
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return functional.log_softmax(logits.to(dtype) / temperature, dim=-1)
