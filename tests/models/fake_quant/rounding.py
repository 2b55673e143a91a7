"""Schemes, a collector, and tiny models that are fake-quantized, for every test that needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hfcompress.models.fake_quant import (
    QuantScheme,
    TensorScheme,
    calibrate_,
    fold_batch_norm_,
    insert_fake_quant_,
)
from tests.models.conftest import inputs, make

WEIGHTS = TensorScheme(signed=True, symmetric=True, per_channel=True)
ACTIVATIONS = TensorScheme(signed=False, symmetric=False, per_channel=False)


def scheme(*, learned: bool = True, per_channel: bool = True, bits: int = 8, products: bool = False) -> QuantScheme:
    """int8 weights of so many bits, uint8 activations."""
    return QuantScheme(TensorScheme(True, True, per_channel, bits), ACTIVATIONS, learned, products)


class MinMax:
    """The range of all values."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0

    def update(self, values: np.ndarray) -> None:
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))

    def range(self) -> tuple[float, float]:
        return self.low, self.high


def rounded(
    family: str, *, head: bool | str = True, config: dict[str, Any] | None = None, skip: Sequence[str] = (), **kind: Any
) -> Any:
    """A tiny model of a family, fake-quantized and calibrated on one batch; `kind` is of the scheme."""
    model = make(family, head=head, **(config or {}))
    fold_batch_norm_(model)
    insert_fake_quant_(model, scheme(**kind), skip)
    calibrate_(model, [inputs(model)], MinMax)
    return model


def set_scale_(quantizer: Any, scale: float, zero_point: int = 0) -> None:
    """Give a quantizer these numbers."""
    with torch.no_grad():
        quantizer.scale.fill_(scale)
        quantizer.zero_point.fill_(zero_point)
