"""Which module of the model each node of a graph is part of.

The exporter names a node after the module that computes it: `/bert/encoder/layer.0/output/dense/MatMul` is a product of
`bert.encoder.layer.0.output.dense`. ONNX Runtime keeps the names of tensors when it fuses operators, so a fused node
without such a name of its own is known by its outputs, by what it reads, or by what reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hfcompress.onnx_graph.float_products import FLOAT_PRODUCTS
from hfcompress.onnx_graph.flow import MOVING, Flow
from hfcompress.onnx_graph.operators import INTEGER_OPERATORS

#: Operators that go from floating point to integers and back.
QUANTIZING = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "DequantizeLinear"})
#: Where nodes of the model's own `forward` are, outside of any module.
ROOT = "(root)"
#: Operators that multiply, whatever their numbers.
PRODUCTS = INTEGER_OPERATORS | FLOAT_PRODUCTS.keys()
#: What ONNX Runtime puts around names of copies and fusions.
_DECORATION = re.compile(r"^fused |/duplicated.*$|(/\w*Fusion/?)+(_token_\d+)?$|_token_\d+$")
#: The end of its names of operators in its blocked layout.
_BLOCKED = re.compile(r"_nchwc(_token_\d+)?$")


def path_of(node: Any) -> str | None:
    """The path in a node's name, outputs or inputs, the first that has one: `/classifier/MatMul`."""
    names = (_DECORATION.sub("", name) for name in (node.name, *node.output, *node.input))
    return next((name for name in names if "/" in name), None)


def module_of(path: str) -> str:
    """The module, as torch names it, of a path: `/bert/pooler/dense/Gemm` is of `bert.pooler.dense`."""
    return path.rpartition("/")[0].strip("/").replace("/", ".") or ROOT


def restore_names_(nodes: Iterable[Any], source: Flow) -> None:
    """Give convolutions in ONNX Runtime's blocked layout their own names again.

    It names them after their output, which is that of an activation where they absorbed one.

    Args:
        nodes: of the optimized graph.
        source: the graph before optimization.
    """
    for node in nodes:
        if node.op_type == "Conv" and (blocked := _BLOCKED.search(node.name)):
            maker = source.maker(node.name[: blocked.start()])
            while maker is not None and maker.op_type not in PRODUCTS:
                maker = source.maker(maker.input[0])
            node.name = node.name if maker is None else maker.name


def layers_of(flow: Flow) -> list[tuple[str, ...]]:
    """For each node of a graph the layers that its time belongs to, in equal shares.

    That is one, but for what quantizes the input of several products: each of these has its share. What quantizes or
    dequantizes belongs to the products that read it, else to the product that gave it, else to the module that it is
    named after.
    """
    return [_owners(flow, node) if node.op_type in QUANTIZING else (_layer(flow, node),) for node in flow.nodes]


def _owners(flow: Flow, node: Any) -> tuple[str, ...]:
    reached = flow.destinations(node.output[0], MOVING | QUANTIZING)
    owners = [reader for reader in reached if reader.op_type in PRODUCTS]
    maker = flow.maker(flow.origin(node.input[0]))
    if not owners and maker is not None and maker.op_type in PRODUCTS:
        owners = [maker]
    return tuple(dict.fromkeys(_layer(flow, owner) for owner in owners or [node]))


def _layer(flow: Flow, node: Any) -> str:
    """The module of a node, or of the first node with a path that reads it; else its own name or operator."""
    path = path_of(node)
    if path is None:
        readers = flow.destinations(node.output[0], MOVING | QUANTIZING)
        path = next((found for found in map(path_of, readers) if found is not None), None)
    return (node.name or node.op_type) if path is None else module_of(path)
