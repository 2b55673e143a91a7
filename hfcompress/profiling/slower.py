"""Where the INT8 model takes longer than fp32 does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from hfcompress.profiling.costs import Cost, finding_of
from hfcompress.profiling.explanation import Finding, Reason
from hfcompress.profiling.times import Profiled, median_ms

#: Share of a pass below which it is not worth a word.
_NEGLIGIBLE = 0.005
#: Operators that a sentence names.
_MOST_OPERATORS = 3


def slower_layers(int8: Profiled, fp32: Profiled) -> Iterator[Cost]:
    """Layers with an integer product or a quantized table that take longer than in fp32, their Q/DQ included."""
    for layer, seconds in int8.by_layer.items():
        reason = _reason(int8, layer)
        lost = _lost_ms(int8, seconds - fp32.by_layer.get(layer, 0.0))
        if reason is not None and lost > 0:
            yield Cost(reason, "", layer, lost)


def between_products(int8: Profiled, fp32: Profiled) -> Iterator[Finding]:
    """All layers without a product together: fusions move operators from one of them to the next."""
    differences = dict(_differences(int8, fp32))
    lost = _lost_ms(int8, sum(differences.values(), np.zeros(len(int8.seconds))))
    if lost > 0:
        grown = _grown(int8.operator_ms(differences), fp32.operator_ms(differences))
        medians = {layer: median_ms(difference) for layer, difference in differences.items()}
        costs = [Cost("overhead", grown, layer, each) for layer, each in medians.items() if each > 0]
        if costs:  # what all lose together, no layer has to lose in the middle of its passes
            yield finding_of(costs, lost)


def _reason(int8: Profiled, layer: str) -> Reason | None:
    if int8.is_integer(layer):
        return "slower"
    return "embedding" if {"Gather", "DequantizeLinear"} <= int8.operators_of[layer].keys() else None


def _differences(int8: Profiled, fp32: Profiled) -> Iterator[tuple[str, np.ndarray]]:
    """Layer -> what each pass lost in it, of those that neither multiply nor are reported on their own."""
    nothing = np.zeros(len(int8.seconds))
    for layer in dict.fromkeys([*int8.by_layer, *fp32.by_layer]):
        reported = layer in int8.by_layer and _reason(int8, layer) is not None
        if not (reported or int8.products_of(layer) or fp32.products_of(layer)):
            yield layer, int8.by_layer.get(layer, nothing) - fp32.by_layer.get(layer, nothing)


def _grown(ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """The operators that take most more in the INT8 model."""
    more = {name: milliseconds - theirs.get(name, 0.0) for name, milliseconds in ours.items()}
    dearest: Collection[str] = sorted((name for name in more if more[name] > 0), key=lambda name: -more[name])
    return ", ".join(list(dearest)[:_MOST_OPERATORS])


def _lost_ms(int8: Profiled, difference: np.ndarray) -> float:
    """The median of what each pass lost; 0 where fewer than three passes in four show it, or it is negligible."""
    lost = median_ms(difference)
    shown = np.percentile(difference, 25) > 0 and lost >= _NEGLIGIBLE * median_ms(int8.seconds.sum(axis=1))
    return lost if shown else 0.0
