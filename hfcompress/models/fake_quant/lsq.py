"""Learned step size quantization: PyTorch's fake quantization with a gradient for the scale.

Esser et al. 2020, Learned Step Size Quantization (ICLR), extended by a fixed zero point.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

#: A scale that a step of the optimizer took to zero or below counts as this.
SMALLEST_SCALE = 1e-8


def fake_quantize(x: Tensor, scale: Tensor, zero_point: Tensor, quant_min: int, quant_max: int) -> Tensor:
    """(clamp(round(x / scale) + zero_point, quant_min, quant_max) - zero_point) * scale, by PyTorch's own operators.

    Args:
        x: any shape; float32.
        scale: [1], or [C] for one scale for each index of axis 0; float32, positive.
        zero_point: as `scale`; int32.
        quant_min: the smallest integer.
        quant_max: the largest integer.
    """
    if scale.numel() == 1:
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, quant_min, quant_max)
    return torch.fake_quantize_per_channel_affine(x, scale, zero_point, 0, quant_min, quant_max)


def learned_step_size(
    x: Tensor, scale: Tensor, zero_point: Tensor, quant_min: int, quant_max: int, gradient_scale: float = 1.0
) -> Tensor:
    """`fake_quantize`, with gradients for the values and for the scale. Shapes as there; x may be of half precision.

    With v = x / scale and Q = quant - zero_point, the gradient of the result is (equations 3 and 5)

    - for x: 1 where Q_min < v < Q_max, else 0 (straight-through);
    - for the scale: round(v) - v there, and Q_min or Q_max outside; summed, and times `gradient_scale`.
    """
    quantized: Tensor = _LearnedStepSize.apply(x, scale, zero_point, quant_min, quant_max, gradient_scale)  # type: ignore[no-untyped-call]
    return quantized


def gradient_scale(values: int, quant_max: int) -> float:
    """g = 1 / sqrt(N Q_max) (section 2.2): updates of a scale become, relative to it, as large as those of weights.

    Args:
        values: N, how many values one scale rounds: weights, or the features of one row of a batch.
        quant_max: the largest integer.
    """
    return 1 / math.sqrt(values * quant_max)


class _LearnedStepSize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, quant_min: int, quant_max: int, gradient_scale: float
    ) -> Tensor:
        step = scale.clamp_min(SMALLEST_SCALE)
        # In half precision the integers themselves would be rounded.
        quantized = fake_quantize(x.float(), step, zero_point, quant_min, quant_max)
        # Not the result: a model may add to it in place, as residual networks do.
        ctx.save_for_backward(x, step, zero_point.clone())  # a copy: the next call may move it
        ctx.range, ctx.gradient_scale = (quant_min, quant_max), gradient_scale
        return quantized.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, step, zero_point = ctx.saved_tensors
        per_channel = step.numel() > 1
        shape = (-1,) + (1,) * (x.dim() - 1) if per_channel else (1,)
        low, high = (((bound - zero_point) * step).view(shape) for bound in ctx.range)
        inside = (x > low) & (x < high)
        grad_x = grad * inside
        if not ctx.needs_input_grad[1]:
            return grad_x, None, None, None, None, None
        quantized = fake_quantize(x.float(), step, zero_point, *ctx.range)
        # `quantized - x` is scale * (round(v) - v); outside, `quantized` is scale * Q_min or scale * Q_max.
        slope = torch.where(inside, quantized - x, quantized).mul_(grad)
        summed = slope.flatten(1).sum(1) if per_channel else slope.sum().view(1)
        return grad_x, summed * (ctx.gradient_scale / step), None, None, None, None
