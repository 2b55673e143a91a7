"""Products that stayed in floating point, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hfcompress.onnx_graph.float_products import FloatProduct, float_products
from hfcompress.onnx_graph.layers import path_of
from hfcompress.profiling.asked import Asked
from hfcompress.profiling.costs import Cost
from hfcompress.profiling.explanation import Reason
from hfcompress.profiling.times import Profiled, median_ms


def stayed_float(int8: Profiled, fp32: Profiled, asked: Asked) -> Iterator[Cost]:
    """Every product of the INT8 model in floating point: its time, at the rate at which integer layers save theirs.

    Q/DQ around a product that is still a floating point one are lost as a whole.
    """
    share = _saved_share(int8, fp32)
    for product in float_products(int8.flow):
        node, (layer,) = int8.flow.nodes[product.index], int8.layers[product.index]
        reason = _reason(product, node, layer, asked)
        lost = share * median_ms(int8.seconds[:, product.index])
        if reason == "unfused":
            lost += median_ms(int8.quantizing.get(layer))
        subject = product.detail if reason == "unfused" else product.operator
        yield Cost(reason, subject, layer, lost, path_of(node) or node.name or node.op_type)


def _reason(product: FloatProduct, node: Any, layer: str, asked: Asked) -> Reason:
    match product.cause:
        case "activations":
            return "activation_product"
        case "unfused":
            return "unfused"
        case "float_weight":
            if asked.excludes(node.name, (path_of(node) or node.name, layer)):
                return "excluded"
            not_asked = asked.operators is not None and product.operator not in asked.operators
            return "operator_not_asked" if not_asked else "unexplained"


def _saved_share(int8: Profiled, fp32: Profiled) -> float:
    """The share of their fp32 time that layers save by being integer, in [0, 1]; 1 where no layer is."""
    integer = [layer for layer in int8.by_layer if layer in fp32.by_layer and int8.is_integer(layer)]
    before = sum(median_ms(fp32.by_layer[layer]) for layer in integer)
    after = sum(median_ms(int8.by_layer[layer]) for layer in integer)
    return min(1.0, max(0.0, 1 - after / before)) if before else 1.0
