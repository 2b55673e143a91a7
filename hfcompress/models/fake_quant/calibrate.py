"""Where scales start: forward passes fill a collector for each activation, and weights are their own measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from hfcompress.errors import InputError
from hfcompress.models.fake_quant.insert import set_phase_, twins
from hfcompress.models.fake_quant.quantizer import ActivationQuantizer, MakeCollector


def calibrate_(model: nn.Module, batches: Iterable[Mapping[str, Tensor]], make_collector: MakeCollector) -> None:
    """Set every scale of a fake-quantized model, and begin to quantize.

    Args:
        model: after `insert_fake_quant_`. It runs in eval mode, in floating point, and keeps its own mode.
        batches: keyword arguments of the model, on its device.
        make_collector: makes what finds the range of one activation.

    Raises:
        InputError: no batches; an activation that is NaN or infinite; or a layer that no batch goes through. Named.
    """
    activations = {name: module for name, module in model.named_modules() if isinstance(module, ActivationQuantizer)}
    collectors = {name: make_collector() for name in activations}
    for name, quantizer in activations.items():
        quantizer.collector = collectors[name]
    set_phase_(model, "observing")
    training = model.training
    model.eval()
    count = 0
    with torch.inference_mode():
        for batch in batches:
            model(**batch)
            count += 1
    model.train(training)
    if count == 0:
        raise InputError("there are no rows to calibrate on; give some")
    for name, quantizer in activations.items():
        low, high = collectors[name].range()
        quantizer.collector = None
        quantizer.set_range_(torch.tensor([low]), torch.tensor([high]))
    for twin in twins(model).values():
        twin.weight_quantizer.set_range_of_(twin.weight)
    set_phase_(model, "quantizing")
