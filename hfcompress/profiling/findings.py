"""What costs time in an INT8 graph, why, and what to change: rules on two profiled graphs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfcompress.onnx_graph.float_products import FloatProduct, float_products
from hfcompress.onnx_graph.layers import QUANTIZING, path_of
from hfcompress.onnx_graph.operators import INTEGER_OPERATORS
from hfcompress.profiling.asked import Asked
from hfcompress.profiling.explanation import Finding, Reason
from hfcompress.profiling.times import Profiled, median_ms
from hfcompress.profiling.words import change, why

#: Share of a pass below which a layer that is slower is not worth a word.
_NEGLIGIBLE = 0.005


@dataclass(frozen=True)
class _Cost:
    """One layer, or one product of it, that costs time; costs of one reason and subject become one finding."""

    reason: Reason
    subject: str
    layer: str
    lost_ms: float
    node: str = ""


def find(int8: Profiled, fp32: Profiled, asked: Asked) -> tuple[Finding, ...]:
    """Every finding, the dearest first.

    Args:
        int8, fp32: both models, profiled on the same batches in turns.
        asked: what the quantizer was asked to do.
    """
    stayed = list(_stayed_float(int8, fp32, asked))
    unfused = {cost.layer for cost in stayed if cost.reason == "unfused"}
    slower = [cost for cost in _slower(int8, fp32) if cost.layer not in unfused]
    groups: dict[tuple[Reason, str], list[_Cost]] = defaultdict(list)
    for cost in [*stayed, *slower]:
        groups[cost.reason, cost.subject].append(cost)
    findings = (_finding(reason, subject, costs) for (reason, subject), costs in groups.items())
    return tuple(sorted(findings, key=lambda finding: -finding.lost_ms))


def _stayed_float(int8: Profiled, fp32: Profiled, asked: Asked) -> Iterator[_Cost]:
    share = _saved_share(int8, fp32)
    for product in float_products(int8.flow):
        node, (layer,) = int8.flow.nodes[product.index], int8.layers[product.index]
        reason = _reason(product, node, layer, asked)
        lost = share * median_ms(int8.seconds[:, product.index])
        if reason == "unfused":
            lost += median_ms(int8.quantizing.get(layer))
        subject = product.detail if reason == "unfused" else product.operator
        yield _Cost(reason, subject, layer, lost, path_of(node) or node.name or node.op_type)


def _reason(product: FloatProduct, node: Any, layer: str, asked: Asked) -> Reason:
    match product.cause:
        case "activations":
            return "activation_product"
        case "unfused":
            return "unfused"
        case "float_weight":
            if asked.operators is not None and product.operator not in asked.operators:
                return "operator_not_asked"
            names = (node.name, path_of(node) or node.name, layer)
            return "excluded" if asked.excludes(names) else "unexplained"


def _saved_share(int8: Profiled, fp32: Profiled) -> float:
    """The share of their fp32 time that layers save by being integer, in [0, 1]; 1 where no layer is."""
    integer = [layer for layer in int8.by_layer if layer in fp32.by_layer and _is_integer(int8, layer)]
    before = sum(median_ms(fp32.by_layer[layer]) for layer in integer)
    after = sum(median_ms(int8.by_layer[layer]) for layer in integer)
    return min(1.0, max(0.0, 1 - after / before)) if before else 1.0


def _is_integer(side: Profiled, layer: str) -> bool:
    return not INTEGER_OPERATORS.isdisjoint(side.operators_of[layer])


def _slower(int8: Profiled, fp32: Profiled) -> Iterator[_Cost]:
    """Layers that three passes in four show to be slower than in fp32, where quantization changed something."""
    least = _NEGLIGIBLE * median_ms(int8.seconds.sum(axis=1))
    for layer, seconds in int8.by_layer.items():
        reason = _reason_of_slower(int8, layer)
        difference = seconds - fp32.by_layer.get(layer, np.zeros(len(seconds)))
        if reason is not None and np.percentile(difference, 25) > 0 and (lost := median_ms(difference)) >= least:
            yield _Cost(reason, "", layer, lost)


def _reason_of_slower(int8: Profiled, layer: str) -> Reason | None:
    operators = int8.operators_of[layer]
    if _is_integer(int8, layer):
        return "slower"
    if int8.products_of(layer) or not any(name in QUANTIZING or name.startswith("QLinear") for name in operators):
        return None
    return "embedding" if "Gather" in operators else "overhead"


def _finding(reason: Reason, subject: str, costs: Iterable[_Cost]) -> Finding:
    ordered = sorted(costs, key=lambda cost: -cost.lost_ms)
    layers = tuple(dict.fromkeys(cost.layer for cost in ordered))
    return Finding(
        reason=reason,
        layers=layers,
        nodes=tuple(cost.node for cost in ordered if cost.node),
        lost_ms=sum(cost.lost_ms for cost in ordered),
        why=why(reason, subject),
        change=change(reason, subject, layers),
    )
