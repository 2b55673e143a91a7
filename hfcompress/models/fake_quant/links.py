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
from hfcompress.models.fake_quant.modules import QuantConv2d, QuantLinear, share_
from hfcompress.models.fake_quant.residuals import round_residuals_

_INPUT, _OUTPUT = ".input_quantizer", ".output_quantizer"


def link_(model: nn.Module, flow: Dataflow) -> None:
    """Link the quantizers of a model by a forward pass that was made while all of them were off."""
    fuses = any(isinstance(call.module, QuantConv2d) and call.module.scheme.whole_pairs for call in flow.calls)
    for convolution, relu in () if fuses else flow.pairs(QuantConv2d, nn.ReLU):
        fold_relu_(model, relu.name, convolution.name)
    rounded = {} if fuses else _outputs(flow)
    seen: dict[tuple[Any, ...], str] = {}
    for name, given in _inputs(flow).items():
        makers = {rounded.get(flow.source(state)) for state in given}
        maker = makers.pop() if len(makers) == 1 else None
        first = seen.setdefault(tuple(given), name)
        if maker is not None:
            share_(model, name, maker + _OUTPUT)
        elif first != name:
            share_(model, name, first)
    if fuses:
        round_residuals_(model, flow, {given[0]: name for given, name in seen.items() if len(given) == 1})


def fold_relu_(model: nn.Module, relu: str, convolution: str) -> None:
    """Let a convolution do the ReLU that follows, so that its output is rounded after it."""
    twin = model.get_submodule(convolution)
    twin.activation = model.get_submodule(relu)
    replace_(model, relu, FoldedReLU(convolution))


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
