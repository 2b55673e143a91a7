"""A fake-quantized model in the form that ONNX export understands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from hfcompress.models.fake_quant.insert import quantizers, set_phase_, twins


@contextmanager
def exporting(model: nn.Module) -> Iterator[None]:
    """Compute with PyTorch's own fake quantization, constant scales and zero points, and weights that are rounded.

    The answers stay as they are. Within it a tracer sees nothing but operators that become QuantizeLinear and
    DequantizeLinear; afterwards the model quantizes as before.
    """
    for twin in twins(model).values():
        twin.weight_quantizer.bake_(twin.weight)
    for quantizer in quantizers(model):
        quantizer.fix_(True)
    set_phase_(model, "exporting")
    try:
        yield
    finally:
        set_phase_(model, "quantizing")
        for quantizer in quantizers(model):
            quantizer.fix_(False)
        for twin in twins(model).values():
            twin.weight_quantizer.bake_(None)
