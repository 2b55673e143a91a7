"""The twins: Linear, Conv2d and Embedding that round their weights, and what goes into their products.

A module becomes its twin in place, by its class: weights, names, hooks and ties stay as they are. A checkpoint of the
plain model fits, and the state dict grows by scales and zero points alone.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F  # noqa: N812  # what everybody calls it
from torch import Tensor, nn

from hfcompress.models.fake_quant.dataflow import replace_
from hfcompress.models.fake_quant.quantizer import ActivationQuantizer, WeightQuantizer
from hfcompress.models.fake_quant.scheme import QuantScheme


class Given(nn.Module):
    """In place of a quantizer whose work another one has done or does: it gives no parameters of its own.

    Args:
        quantizer: the other one.
        again: whether the values still have to be rounded, by the same scale; otherwise they have been.
    """

    def __init__(self, quantizer: ActivationQuantizer, *, again: bool) -> None:
        super().__init__()
        # In a tuple, so that it is no child of this one, and has one name in the model.
        self._quantizer = (quantizer,)
        self.again = again

    @property
    def quantizer(self) -> ActivationQuantizer:
        """The other one."""
        return self._quantizer[0]

    def forward(self, x: Tensor) -> Tensor:
        """x rounded."""
        return self.quantizer.round_again(x) if self.again else x


def share_(model: nn.Module, name: str, leader: str) -> None:
    """Let the quantizer `leader` do the work of the module `name`, or have done it where it rounds an output."""
    quantizer = model.get_submodule(leader)
    if not isinstance(quantizer, ActivationQuantizer):
        raise TypeError(f"{leader} is a {type(quantizer).__name__}")
    replace_(model, name, Given(quantizer, again=not leader.endswith(".output_quantizer")))


class QuantLinear(nn.Linear):
    """A Linear whose input and weight are rounded.

    Attributes:
        smooth: [in_features], what the input is multiplied by first (SmoothQuant, `models/smooth.py`); None: nothing.
    """

    smooth: Tensor | None
    input_quantizer: ActivationQuantizer | Given
    weight_quantizer: WeightQuantizer
    scheme: QuantScheme

    def adopt_(self, scheme: QuantScheme) -> None:
        """Give a module that became this class its quantizers."""
        self.scheme = scheme
        self.register_buffer("smooth", None)
        self.input_quantizer = ActivationQuantizer(scheme.activations, scheme.learned)
        channels = self.out_features if scheme.weights.per_channel else 1
        self.weight_quantizer = WeightQuantizer(scheme.weights, channels, scheme.learned)

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Linear has
        """[..., in_features] to [..., out_features]."""
        if self.smooth is not None:
            input = input * self.smooth
        return F.linear(self.input_quantizer(input), self.weight_quantizer(self.weight), self.bias)


class QuantConv2d(nn.Conv2d):
    """A Conv2d whose input, weight and output are rounded; ONNX Runtime has no convolution of integers to floats.

    Attributes:
        activation: a ReLU that follows, and is done before the output is rounded; see `links.py`.
        output_quantizer: nothing, for a runtime that has such a convolution; see `residuals.py`.
    """

    input_quantizer: ActivationQuantizer | Given
    weight_quantizer: WeightQuantizer
    scheme: QuantScheme
    output_quantizer: ActivationQuantizer | nn.Identity
    activation: nn.Module

    def adopt_(self, scheme: QuantScheme) -> None:
        """Give a module that became this class its quantizers."""
        self.scheme = scheme
        self.input_quantizer = ActivationQuantizer(scheme.activations, scheme.learned)
        channels = self.out_channels if scheme.weights.per_channel else 1
        self.weight_quantizer = WeightQuantizer(scheme.weights, channels, scheme.learned)
        self.activation = nn.Identity()
        if scheme.whole_pairs:
            self.output_quantizer = nn.Identity()
        else:
            self.output_quantizer = ActivationQuantizer(scheme.activations, scheme.learned)

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Conv2d has
        """[N, in_channels, H, W] to [N, out_channels, H', W']."""
        found = self._conv_forward(self.input_quantizer(input), self.weight_quantizer(self.weight), self.bias)
        rounded: Tensor = self.output_quantizer(self.activation(found))
        return rounded


def round_output_(model: nn.Module, name: str) -> None:
    """Let a convolution round its output from now on."""
    twin = model.get_submodule(name)
    if not isinstance(twin, QuantConv2d):
        raise TypeError(f"{name} is a {type(twin).__name__}")
    quantizer = ActivationQuantizer(twin.scheme.activations, twin.scheme.learned)
    replace_(model, f"{name}.output_quantizer", quantizer.to(twin.weight.device))


class QuantEmbedding(nn.Embedding):
    """An Embedding whose table is rounded, by one scale: so ONNX Runtime looks up integers."""

    weight_quantizer: WeightQuantizer
    scheme: QuantScheme

    def adopt_(self, scheme: QuantScheme) -> None:
        """Give a module that became this class its quantizer."""
        self.scheme = scheme
        self.weight_quantizer = WeightQuantizer(scheme.weights, 1, scheme.learned)

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Embedding has
        """[...] indices to [..., embedding_dim]."""
        quantizer = self.weight_quantizer
        if quantizer.phase == "exporting":
            return F.embedding(input, quantizer(self.weight), self.padding_idx)
        rows = super().forward(input)
        if quantizer.phase != "quantizing":
            return rows
        if quantizer.follows:
            quantizer.set_range_of_(self.weight)
        # Rounding commutes with looking up, and the rows of a batch are fewer than those of the table.
        return quantizer.rounded(rows, rows.numel())


Twin = QuantLinear | QuantConv2d | QuantEmbedding
#: What has a twin, by its exact class: a subclass may compute something else.
TWINS: dict[type[nn.Module], Any] = {nn.Linear: QuantLinear, nn.Conv2d: QuantConv2d, nn.Embedding: QuantEmbedding}
