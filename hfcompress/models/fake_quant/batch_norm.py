"""Fold batch-norm into the convolution before it: an integer convolution has no place for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hfcompress.models.fake_quant.dataflow import Dataflow, replace_

#: Pixels of an image that a model of any size takes.
_PIXELS = 64


class Folded(nn.Identity):
    """In place of a module whose work a convolution does now.

    Args:
        into: the name of the convolution.
    """

    def __init__(self, into: str) -> None:
        super().__init__()
        self.into = into


class FoldedBatchNorm(Folded):
    """In place of a batch-norm."""


class FoldedReLU(Folded):
    """In place of a ReLU."""


def fold_batch_norm_(model: nn.Module, batch: Mapping[str, Tensor] | None = None) -> tuple[str, ...]:
    """Fold every BatchNorm2d that is given what a Conv2d made, as it computes in eval mode (Jacob et al. 2018, eq. 14).

    w' = w gamma / sqrt(var + eps), b' = (b - mean) gamma / sqrt(var + eps) + beta.

    Args:
        model: in place. Which pairs there are is seen in one forward pass.
        batch: keyword arguments of the model; default: an image of noise.

    Returns:
        The names of the batch-norms that were folded; a `FoldedBatchNorm` stands in their place.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return ()
    flow = Dataflow(model, _noise(model) if batch is None else batch)
    pairs = flow.pairs(nn.Conv2d, nn.BatchNorm2d)
    for convolution, norm in pairs:
        _fold_(convolution.module, norm.module)
        replace_(model, norm.name, FoldedBatchNorm(convolution.name))
    return tuple(norm.name for _, norm in pairs)


def leave_folded_(model: nn.Module, norm: str, convolution: str) -> None:
    """Give a model the form that `fold_batch_norm_` leaves; the values of weights and biases come from a checkpoint."""
    module = model.get_submodule(convolution)
    if module.bias is None:
        module.bias = nn.Parameter(torch.zeros(len(module.weight)))
    replace_(model, norm, FoldedBatchNorm(convolution))


def _fold_(convolution: Any, norm: Any) -> None:
    with torch.no_grad():
        factor = (norm.running_var.double() + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
        centred = (0 if convolution.bias is None else convolution.bias) - norm.running_mean.double()
        bias = centred * factor + (0 if norm.bias is None else norm.bias)
        convolution.weight.copy_(convolution.weight.double() * factor.view(-1, 1, 1, 1))
    convolution.bias = nn.Parameter(bias.to(convolution.weight.dtype))


def _noise(model: Any) -> dict[str, Tensor]:
    size = getattr(model.config, "image_size", None) or _PIXELS
    height, width = size if isinstance(size, list | tuple) else (size, size)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, getattr(model.config, "num_channels", 3), height, width, generator=generator)
    return {model.main_input_name: image.to(model.device)}
