"""Counts of what a graph computes: operators, integer operators, parameters."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.onnx_graph.optimized import optimized_graph

#: Operators that multiply integers; the last two are what ONNX Runtime fuses the first one into.
INTEGER_OPERATORS = frozenset(
    {"MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "QGemm", "QAttention"}
    | {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
)
#: Operators that only a quantized graph has.
_QUANTIZED = INTEGER_OPERATORS | {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
#: Their quantized weights carry these besides: not parameters of the model.
_SCALE_SUFFIXES = ("_scale", "_zero_point")


def operator_counts(path: Path) -> Counter[str]:
    """How often each operator occurs in a graph, subgraphs not included; weights are not read."""
    return Counter(node.op_type for node in _graph(path).node)


def integer_operator_count(path: Path) -> int:
    """How many operators multiply integers: of a Q/DQ graph, once ONNX Runtime has fused what it can on this CPU."""
    counts = operator_counts(path)
    found = sum(counts[name] for name in INTEGER_OPERATORS)
    if found == 0 and counts["QuantizeLinear"] > 0:
        optimized = Counter(node.op_type for node in optimized_graph(path).node)
        found = sum(optimized[name] for name in INTEGER_OPERATORS)
    return found


def dequantized_product_count(path: Path) -> int:
    """How many products of a Q/DQ graph take both factors from DequantizeLinear: what a runtime may make integer."""
    graph = _graph(path)
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    products = (node for node in graph.node if node.op_type in ("MatMul", "Gemm", "Conv"))
    return sum(dequantized.issuperset(node.input[:2]) for node in products)


def is_quantized(path: Path) -> bool:
    """Whether a graph holds integer products or Q/DQ."""
    return not _QUANTIZED.isdisjoint(operator_counts(path))


def activation_products(path: Path) -> list[str]:
    """Names of the `MatMul` nodes of which neither factor is a weight."""
    graph = _graph(path)
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    return [node.name for node in graph.node if node.op_type == "MatMul" and not weights & set(node.input)]


def parameter_count(path: Path) -> int:
    """Elements of all weights of a graph: initializers of rank 1 and more, scales and zero points left out.

    The exporter stores equal weights once and gives the others as an `Identity` of the stored one: each is counted.
    """
    graph = _graph(path)
    sizes = {
        tensor.name: int(np.prod(tensor.dims))
        for tensor in graph.initializer
        if len(tensor.dims) > 0 and not tensor.name.endswith(_SCALE_SUFFIXES) and _is_parameter(tensor)
    }
    for node in graph.node:  # in topological order
        if node.op_type == "Identity" and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
    return sum(sizes.values())


def _is_parameter(tensor: Any) -> bool:
    """Shapes and axes are INT32 (6) and INT64 (7), and so are biases of integer products, which say so."""
    return tensor.data_type not in (6, 7) or (tensor.data_type == 6 and "_quantized" in tensor.name)


def _graph(path: Path) -> Any:
    import onnx

    return onnx.load(path, load_external_data=False).graph
