"""Which operator each quantized layer became, once ONNX Runtime has optimized the graph for this CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hfcompress.onnx_graph.integer_weights import INTEGER_WEIGHT
from hfcompress.onnx_graph.operators import INTEGER_OPERATORS
from hfcompress.onnx_graph.optimized import optimized_graph

#: Operators of an optimized graph that compute with an integer weight or product. A Gather looks integers up.
OPTIMIZED_OPERATORS = INTEGER_OPERATORS | {"MatMulIntegerToFloat", "DynamicQuantizeMatMul", "Gather"}
#: What is said of a layer that no output of the exported graph depends on.
UNUSED = "unused"


def placement(path: Path, planned: Sequence[str]) -> dict[str, str]:
    """Layer -> operator that computes it on ONNX Runtime's CPU provider.

    Args:
        path: a graph that `store_integer_weights_` wrote.
        planned: names of layers, and of products of attentions.

    Returns:
        Every planned name with the type of the operator that reads its integers in the optimized graph;
        `DequantizeLinear` where they go back to floating point first; `unused` where the exported graph has no such
        layer, because none of its outputs needs it.
    """
    exported, optimized = _operators(_load(path)), _operators(optimized_graph(path))
    return {name: optimized.get(name, "none") if name in exported else UNUSED for name in planned}


def in_floating_point(placed: dict[str, str]) -> dict[str, str]:
    """The layers that did not become integer operators, and what they became."""
    return {name: kind for name, kind in placed.items() if kind not in OPTIMIZED_OPERATORS and kind != UNUSED}


def _operators(graph: Any) -> dict[str, str]:
    """Layer -> the operator that reads its integers; product -> the operator of that name."""
    found: dict[str, str] = {}
    for node in graph.node:
        # Some optimizations write a node anew, with a suffix.
        found.setdefault(node.name.partition("_token_")[0], node.op_type)
        found |= {
            name.removesuffix(INTEGER_WEIGHT): node.op_type for name in node.input if name.endswith(INTEGER_WEIGHT)
        }
    return found


def _load(path: Path) -> Any:
    import onnx

    return onnx.load(path, load_external_data=False).graph
