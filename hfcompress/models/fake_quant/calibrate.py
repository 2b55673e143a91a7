"""Where scales start: forward passes fill a collector for each activation, and weights are their own measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from hfcompress.calibration.padding import without_padding
from hfcompress.errors import InputError
from hfcompress.models.fake_quant.dataflow import Dataflow
from hfcompress.models.fake_quant.insert import set_phase_, twins
from hfcompress.models.fake_quant.links import link_
from hfcompress.models.fake_quant.quantizer import ActivationQuantizer, MakeCollector, RangeCollector


def calibrate_(model: nn.Module, batches: Iterable[Mapping[str, Tensor]], make_collector: MakeCollector) -> None:
    """Link the quantizers of a model, set every scale, and begin to quantize.

    Args:
        model: after `insert_fake_quant_`. It runs in eval mode, in floating point, and keeps its own mode.
        batches: keyword arguments of the model, on its device; tokens that `attention_mask` masks do not count.
        make_collector: makes what finds the range of one activation.

    Raises:
        InputError: no batches; an activation that is NaN or infinite; or a layer that no batch goes through. Named.
    """
    rest = iter(batches)
    first = next(rest, None)
    if first is None:
        raise InputError("there are no rows to calibrate on; give some")
    link_(model, Dataflow(model, first))
    collectors = {name: _Collector(name, make_collector()) for name, _ in _activations(model)}
    for name, quantizer in _activations(model):
        quantizer.collector = collectors[name]
    set_phase_(model, "observing")
    try:
        _run(model, chain([first], rest), collectors.values())
    finally:
        for _, quantizer in _activations(model):
            quantizer.collector = None
        set_phase_(model, "off")
    _check_reached(collectors)
    for name, quantizer in _activations(model):
        low, high = collectors[name].range()
        quantizer.set_range_(quantizer.scale.new_tensor([low]), quantizer.scale.new_tensor([high]))
    for twin in twins(model).values():
        twin.weight_quantizer.set_range_of_(twin.weight)
    set_phase_(model, "quantizing")


class _Collector:
    """A collector that knows whose values it sees."""

    def __init__(self, name: str, inner: RangeCollector) -> None:
        self.name, self.inner, self.reached = name, inner, False
        self.mask: np.ndarray | None = None

    def update(self, values: np.ndarray) -> None:
        self.reached = True
        if not np.isfinite(values).all():
            raise InputError(
                f"the values of {self.name} hold NaN or infinity while calibrating, so they have no range; look at the "
                "rows, or at the weights before that layer"
            )
        self.inner.update(without_padding(values, self.mask))

    def range(self) -> tuple[float, float]:
        return self.inner.range()


def _activations(model: nn.Module) -> list[tuple[str, ActivationQuantizer]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, ActivationQuantizer)]


def _run(model: nn.Module, batches: Iterable[Mapping[str, Tensor]], collectors: Iterable[_Collector]) -> None:
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                mask = batch.get("attention_mask")
                for collector in collectors:
                    collector.mask = None if mask is None else mask.cpu().numpy()
                model(**batch)
    finally:
        model.train(training)


def _check_reached(collectors: Mapping[str, _Collector]) -> None:
    missed = [name.rpartition(".")[0] for name, collector in collectors.items() if not collector.reached]
    if missed:
        raise InputError(
            f"no calibration row went through {', '.join(missed)}, so there is no range to round to; leave them in "
            f"floating point by `skip: [{', '.join(missed)}]`"
        )
