"""`FakeQuantize`: one tensor rounded to integers and back, by a scale that is learned, followed or frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hfcompress.models.fake_quant.lsq import SMALLEST_SCALE, gradient_scale, learned_step_size
from hfcompress.models.fake_quant.scheme import TensorScheme

#: off - values pass; observing - values pass and are collected; quantizing - values are rounded;
#: exporting - values are rounded by the operator that ONNX export knows, with constants.
Phase = Literal["off", "observing", "quantizing", "exporting"]

#: Weight of the newest range in the moving average, as in PyTorch's MovingAverageMinMaxObserver.
_NEWEST = 0.01


class RangeCollector(Protocol):
    """Sees values batch by batch, and says which range to represent."""

    def update(self, values: np.ndarray) -> object:
        """Take in more values, of any shape."""

    def range(self) -> tuple[float, float]:
        """The range to represent."""


MakeCollector = Callable[[], RangeCollector]


class FakeQuantize(nn.Module):
    """Rounds a tensor to the integers of a scheme and back.

    Args:
        scheme: the integers.
        channels: how many scales: the size of axis 0, or 1 for one scale for the tensor.
        learned: the scale is a parameter (LSQ); otherwise it follows the values in training mode.

    Attributes:
        scale: [channels], float32. A parameter where it is learned.
        zero_point: [channels], int32. It stays after calibration.
        phase: what `forward` does.
        frozen: the scale neither learns nor follows any more.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, scheme: TensorScheme, channels: int, learned: bool) -> None:
        super().__init__()
        self.scheme = scheme
        self.learned = learned
        self.phase: Phase = "off"
        self.frozen = False
        self._constants: tuple[Tensor, Tensor] | None = None
        scale = torch.ones(channels)
        if learned:
            self.scale = nn.Parameter(scale)
        else:
            self.register_buffer("scale", scale)
        self.register_buffer("zero_point", torch.zeros(channels, dtype=torch.int32))

    @property
    def follows(self) -> bool:
        """Whether the scale follows the values that are seen now."""
        return self.training and self.phase == "quantizing" and not self.learned and not self.frozen

    def set_range_(self, low: Tensor, high: Tensor) -> None:
        """Scale and zero point that represent low to high, and 0 exactly. Both [channels]."""
        scheme = self.scheme
        low, high = low.detach().float().clamp_max(0.0), high.detach().float().clamp_min(0.0)
        if scheme.symmetric:
            middle = (scheme.quant_min + scheme.quant_max + 1) // 2
            scale = torch.maximum(-low, high) / (scheme.quant_max - middle)
            zero_point = torch.full_like(scale, middle)
        else:
            scale = (high - low) / (scheme.quant_max - scheme.quant_min)
            zero_point = scheme.quant_min - torch.round(low / scale.clamp_min(SMALLEST_SCALE))
        with torch.no_grad():
            # All zeros are represented by any scale.
            self.scale.copy_(torch.where(scale > SMALLEST_SCALE, scale, torch.ones_like(scale)))
            self.zero_point.copy_(zero_point.clamp(scheme.quant_min, scheme.quant_max))

    def freeze_(self) -> None:
        """Keep the scale as it is from now on."""
        self.frozen = True
        if self.learned:
            self.scale.requires_grad_(False)
            self.scale.grad = None

    def rounded(self, x: Tensor, values: int) -> Tensor:
        """x rounded to what integers represent, differentiable; `values`: N of `gradient_scale`."""
        scheme = self.scheme
        factor = gradient_scale(max(values, 1), scheme.quant_max)
        return learned_step_size(x, self.scale, self.zero_point, scheme.quant_min, scheme.quant_max, factor)

    def exported(self, x: Tensor) -> Tensor:
        """x through the operator that ONNX export turns into QuantizeLinear and DequantizeLinear."""
        low, high = self.scheme.exported_range
        scale, zero_point = self.constants
        if scale.numel() == 1:
            return torch.fake_quantize_per_tensor_affine(x, scale.item(), int(zero_point.item()), low, high)
        return torch.fake_quantize_per_channel_affine(x, scale, zero_point, 0, low, high)

    @property
    def constants(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point as they are used, without a gradient; both [channels]."""
        return self._constants or (self.scale.detach().clamp_min(SMALLEST_SCALE), self.zero_point)

    def fix_(self, fixed: bool) -> None:
        """Compute `constants` once, so that a tracer sees numbers; or let go of them."""
        self._constants = None
        if fixed:
            scale, zero_point = self.constants
            self._constants = (scale.clone(), zero_point.clone())


class WeightQuantizer(FakeQuantize):
    """Rounds a weight; its range is that of its own values.

    Args:
        scheme: the integers.
        channels: how many scales.
        learned: see `FakeQuantize`.
    """

    baked: Tensor | None

    def __init__(self, scheme: TensorScheme, channels: int, learned: bool) -> None:
        super().__init__(scheme, channels, learned)
        # A buffer of the state dict while there is one: a tracer takes anything else for a constant, and folds what is
        # computed from it. `onnx_graph/integer_weights.py` knows its name.
        self.register_buffer("baked", None)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight rounded, or itself where the phase says so."""
        if self.phase == "exporting":
            # Rounding what is rounded already changes nothing, and keeps a 7-bit weight within its 7 bits.
            return self.exported(weight if self.baked is None else self.baked)
        if self.phase != "quantizing":
            return weight
        if self.follows:
            self.set_range_of_(weight)
        return self.rounded(weight, weight.numel() // self.scale.numel())

    def set_range_of_(self, weight: Tensor) -> None:
        """Represent every value of a weight, of each channel where there are several scales."""
        flat = weight.detach().reshape(self.scale.numel(), -1)
        self.set_range_(flat.amin(1), flat.amax(1))

    def bake_(self, weight: Tensor | None) -> None:
        """Hold the rounded weight for export; None lets go of it."""
        with torch.no_grad():
            self.baked = None if weight is None else self.rounded(weight.detach(), weight.numel())


class ActivationQuantizer(FakeQuantize):
    """Rounds activations, with one scale for the tensor; its range comes from calibration.

    Args:
        scheme: the integers.
        learned: see `FakeQuantize`.
    """

    low: Tensor
    high: Tensor

    def __init__(self, scheme: TensorScheme, learned: bool) -> None:
        super().__init__(scheme, 1, learned)
        self.collector: RangeCollector | None = None
        if not learned:
            self.register_buffer("low", torch.zeros(1))
            self.register_buffer("high", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """The activations rounded, or themselves where the phase says so. The rows of a batch are on axis 0."""
        if self.phase == "observing" and self.collector is not None:
            self.collector.update(x.detach().float().cpu().numpy())
        if self.follows:
            self._follow_(x.detach())
        return self.round_again(x)

    def round_again(self, x: Tensor) -> Tensor:
        """`forward` for values that were seen before: nothing is collected or followed."""
        match self.phase:
            case "off" | "observing":
                return x
            case "exporting":
                return self.exported(x)
            case "quantizing":
                return self.rounded(x, x.numel() // max(len(x), 1))

    def set_range_(self, low: Tensor, high: Tensor) -> None:
        """See `FakeQuantize.set_range_`; a moving average goes on from here."""
        super().set_range_(low, high)
        if not self.learned:
            self.low.copy_(low)
            self.high.copy_(high)

    def _follow_(self, x: Tensor) -> None:
        ends = (x.amin().view(1).float(), x.amax().view(1).float())
        self.set_range_(torch.lerp(self.low, ends[0], _NEWEST), torch.lerp(self.high, ends[1], _NEWEST))
