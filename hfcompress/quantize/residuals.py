"""Residual sums with a quantized convolution: which summand is rounded, and its Q/DQ.

TensorRT adds a skip connection within the kernel of the convolution before it, and rounds the sum there too, where
what comes along the skip connection is INT8. The convolution's own output is left as it is: Q/DQ between it and the sum
would keep the two apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfcompress.onnx_graph.lint.graph import QUANTIZE
from hfcompress.onnx_graph.wiring import attribute

_LARGEST = 127


@dataclass(frozen=True)
class Residual:
    """One sum.

    Attributes:
        node: the `Add`.
        place: which of its inputs came along the skip connection.
    """

    node: Any
    place: int

    @property
    def tensor(self) -> str:
        """What came along the skip connection."""
        return str(self.node.input[self.place])


def residuals_of(graph: Any, convolutions: Collection[str], constants: Collection[str]) -> Iterator[Residual]:
    """The sums of two activations of which a quantized convolution made one; the other one came along the skip
    connection. Where convolutions made both, that is the one with fewer of them before it.

    Args:
        graph: an `onnx.GraphProto`, its nodes in topological order.
        convolutions: what quantized convolutions give.
        constants: names of what is no activation.
    """
    depths: dict[str, int] = {}
    for node in graph.node:
        depth = max((depths.get(name, 0) for name in node.input), default=0) + (node.op_type == "Conv")
        depths |= dict.fromkeys(node.output, depth)
        if node.op_type == "Add" and not set(node.input) & set(constants) and set(node.input) & set(convolutions):
            made = [depths[name] if name in convolutions else -1 for name in node.input]
            yield Residual(node, 1 - made.index(max(made)))


def quantize_residuals_(model: Any, residuals: Collection[Residual], ranges: dict[str, tuple[float, float]]) -> None:
    """Put signed symmetric Q/DQ in front of the summands that came along skip connections.

    Args:
        model: the `onnx.ModelProto` of which all else is quantized; changed in place.
        residuals: of the model that it was made from.
        ranges: tensor -> (low, high).
    """
    nodes = {node.name: node for node in model.graph.node}
    for residual in residuals:
        tensor, node = residual.tensor, nodes[residual.node.name]
        name = f"{tensor}_residual"
        parameters = _parameters_of(model.graph, tensor) or _new_parameters_(model.graph, name, ranges[tensor])
        _insert_pair_(model.graph, node, residual.place, name, parameters)


def _parameters_of(graph: Any, tensor: str) -> list[str] | None:
    """Scale and zero point by which a tensor is quantized elsewhere: one rounding serves both."""
    for node in graph.node:
        if node.op_type == QUANTIZE and node.input[0] == tensor and attribute(node, "axis", None) is None:
            return list(node.input[1:])
    return None


def _new_parameters_(graph: Any, name: str, bounds: tuple[float, float]) -> list[str]:
    from onnx import numpy_helper

    scale = np.float32(max(abs(bound) for bound in bounds) / _LARGEST or 1)
    for part, value in (("scale", scale), ("zero_point", np.int8(0))):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{name}_{part}"))
    return [f"{name}_scale", f"{name}_zero_point"]


def _insert_pair_(graph: Any, node: Any, place: int, name: str, parameters: list[str]) -> None:
    from onnx import helper

    quantized, rounded = f"{name}_QuantizeLinear", f"{name}_DequantizeLinear"
    pair = (
        helper.make_node(QUANTIZE, [node.input[place], *parameters], [quantized], name=quantized),
        helper.make_node("DequantizeLinear", [quantized, *parameters], [rounded], name=rounded),
    )
    at = next(index for index, each in enumerate(graph.node) if each.output[0] == node.output[0])
    for each in reversed(pair):
        graph.node.insert(at, each)
    node.input[place] = rounded
