"""What comes along a skip connection is rounded where a runtime adds it within the kernel of the convolution before.

That is TensorRT's way: see `quantize/residuals.py`, which does the same to a graph. In a model the summand is what a
convolution of the skip connection gives, or what an `nn.Identity` passes on, which is given the quantizer of whoever
else reads the same tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from hfcompress.models.fake_quant.dataflow import Call, Dataflow, State
from hfcompress.models.fake_quant.modules import QuantConv2d, round_output_, share_


def round_residuals_(model: nn.Module, flow: Dataflow, quantizers: Mapping[State, str]) -> None:
    """Round one summand of each sum with a convolution.

    Args:
        model: in place.
        flow: a forward pass of it.
        quantizers: tensor -> the input quantizer that rounds it.
    """
    for residual in _residuals(flow):
        maker = flow.maker(flow.source(residual))
        if maker is not None and isinstance(maker.module, QuantConv2d):
            round_output_(model, maker.name)
        elif residual in quantizers:
            for passing in _passing(flow, residual):
                share_(model, passing, quantizers[residual])


def _residuals(flow: Dataflow) -> Iterator[State]:
    """The summand of each sum with a convolution that has fewer convolutions before it."""
    for pair in flow.sums:
        depths = [_depth(flow, state) for state in pair]
        makers = [flow.maker(flow.source(state)) for state in pair]
        made = [depth for depth, call in zip(depths, makers, strict=True) if _is_convolution(call)]
        if made:
            yield pair[1 - depths.index(max(made))]


def _is_convolution(call: Call | None) -> bool:
    return call is not None and isinstance(call.module, QuantConv2d)


def _depth(flow: Dataflow, state: State) -> int:
    """Convolutions since the last sum."""
    depth, call = 0, flow.maker(flow.source(state))
    while call is not None:
        depth += _is_convolution(call)
        call = flow.maker(flow.source(call.given))
    return depth


def _passing(flow: Dataflow, state: State) -> list[str]:
    """The modules that pass a tensor on and do nothing else, which is how models write skip connections."""
    return [
        call.name
        for call in flow.calls
        if type(call.module) is nn.Identity and call.given == state and flow.counts[call.name] == 1
    ]
