"""Quantizers that are given the same values share a scale, and ReLU goes into the convolution before it.

So a tensor is rounded once, as an INT8 runtime would do it: query, key and value are computed from one rounding of
their input, and what a convolution has rounded is not rounded again for the next one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from torch import nn

from hfcompress.models.fake_quant.batch_norm import FoldedReLU
from hfcompress.models.fake_quant.dataflow import Dataflow, State, replace_
from hfcompress.models.fake_quant.modules import Given, QuantConv2d, QuantLinear
from hfcompress.models.fake_quant.quantizer import ActivationQuantizer

_INPUT, _OUTPUT = ".input_quantizer", ".output_quantizer"


def link_(model: nn.Module, flow: Dataflow) -> None:
    """Link the quantizers of a model by a forward pass that was made while all of them were off."""
    for convolution, relu in flow.pairs(QuantConv2d, nn.ReLU):
        fold_relu_(model, relu.name, convolution.name)
    rounded = _outputs(flow)
    seen: dict[tuple[Any, ...], str] = {}
    for name, given in _inputs(flow).items():
        makers = {rounded.get(flow.source(state)) for state in given}
        maker = makers.pop() if len(makers) == 1 else None
        first = seen.setdefault(tuple(given), name)
        if maker is not None:
            share_(model, name, maker + _OUTPUT)
        elif first != name:
            share_(model, name, first)


def fold_relu_(model: nn.Module, relu: str, convolution: str) -> None:
    """Let a convolution do the ReLU that follows, so that its output is rounded after it."""
    twin = model.get_submodule(convolution)
    twin.activation = model.get_submodule(relu)
    replace_(model, relu, FoldedReLU(convolution))


def share_(model: nn.Module, name: str, leader: str) -> None:
    """Let the quantizer `leader` do the work of the quantizer `name`, or have done it where it rounds an output."""
    quantizer = model.get_submodule(leader)
    if not isinstance(quantizer, ActivationQuantizer):
        raise TypeError(f"{leader} is a {type(quantizer).__name__}")
    replace_(model, name, Given(quantizer, again=not leader.endswith(_OUTPUT)))


def _inputs(flow: Dataflow) -> dict[str, list[Any]]:
    """Input quantizer -> what it was given in each call; of a smoothed layer, what was smoothed, and the factors."""
    smoothed = {call.name: call.module.smooth for call in flow.calls if isinstance(call.module, QuantLinear)}
    found: dict[str, list[Any]] = defaultdict(list)
    for call in flow.calls:
        factors = smoothed.get(call.name)
        if factors is not None:
            found[call.name + _INPUT].append((*call.given, factors.cpu().numpy().tobytes()))
        elif call.name.endswith(_INPUT) and smoothed.get(call.name.removesuffix(_INPUT)) is None:
            found[call.name].append(call.given)
    return found


def _outputs(flow: Dataflow) -> dict[State, str]:
    """What a convolution gives, after its ReLU where it does that now -> the convolution."""
    last = {call.name: call.made for call in flow.calls if isinstance(call.module, QuantConv2d)}
    last |= {convolution.name: relu.made for convolution, relu in flow.pairs(QuantConv2d, nn.ReLU)}
    return {state: name for name, state in last.items() if flow.counts[name] == 1}
