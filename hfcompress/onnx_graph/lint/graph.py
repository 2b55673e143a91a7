"""A Q/DQ graph as a linter looks at it: what is quantized by which node, which products have a weight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hfcompress.onnx_graph.flow import MOVING
from hfcompress.onnx_graph.wiring import Wiring, attribute

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
#: Operators that multiply activations by a weight.
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
#: Operators that give the integers that they are given, some of them, or the largest: Q and DQ commute with them.
COMMUTING = MOVING | {"MaxPool", "Slice", "Gather", "Concat", "Split"}
#: What stands between a stored weight and the product that reads it.
_ON_WEIGHTS = frozenset({"Transpose", "Identity", "Cast"})


@dataclass(frozen=True)
class Product:
    """A product of an activation and a weight, or of two activations.

    Attributes:
        node: of the graph.
        activation: the tensor that is computed.
        other: the weight, or the other activation.
        channels: the axis of the weight's output channels, in the weight as the product reads it; None: no weight.
    """

    node: Any
    activation: str
    other: str
    channels: int | None


class QdqGraph(Wiring):
    """A graph with its weights, outside of subgraphs.

    Args:
        model: an `onnx.ModelProto` without external data.

    Attributes:
        opset: the version of ONNX's own operators.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
        self._known = {tensor.name for tensor in self.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" or (node.input and self._known.issuperset(filter(None, node.input))):
                self._known.update(node.output)

    def of_kind(self, *kinds: str) -> list[Any]:
        """The nodes of some operators."""
        return [node for node in self.nodes if node.op_type in kinds]

    def is_known(self, name: str) -> bool:
        """Whether a tensor is a constant, or computed from constants alone."""
        return name in self._known

    def name_of(self, node: Any) -> str:
        """A node's name, or that of what it makes."""
        return str(node.name or node.output[0])

    def integers_of(self, node: Any) -> int:
        """The type that Q gives or DQ takes, of `onnx.TensorProto.DataType`; 0 where it is not known."""
        from onnx import TensorProto

        if node.op_type == DEQUANTIZE:
            return int(self.types.get(node.input[0], 0) or self.types.get(_third(node), 0))
        said = int(attribute(node, "output_dtype", 0))
        return int(self.types.get(_third(node), 0) or said or TensorProto.UINT8)  # the operator's own default

    def zero_point(self, node: Any) -> np.ndarray | None:
        """The zero point of a Q or DQ, which is 0 where none is named; None: it is computed."""
        name = _third(node)
        return np.zeros((), np.int32) if not name else self.constant(name)

    def scale(self, node: Any) -> np.ndarray | None:
        """The scale of a Q or DQ; None: it is computed."""
        return self.constant(node.input[1])

    def quantizer_of(self, dequantize: Any) -> Any | None:
        """The Q that made the integers of a DQ, perhaps moved since; None: no Q of this graph did."""
        node = self.makers.get(dequantize.input[0])
        while node is not None and node.op_type in COMMUTING:
            node = self.makers.get(node.input[0])
        return node if node is not None and node.op_type == QUANTIZE else None

    def dequantizer_of(self, tensor: str) -> Any | None:
        """The DQ that made a tensor, perhaps moved since, or turned where it is a weight."""
        node = self.makers.get(tensor)
        while node is not None and node.op_type in COMMUTING | _ON_WEIGHTS:
            node = self.makers.get(node.input[0])
        return node if node is not None and node.op_type == DEQUANTIZE else None

    def same_parameters(self, a: Any, b: Any) -> bool:
        """Whether two Q or DQ have equal scales, zero points, axes and integers: int8 behind uint8 is a clamp at 0."""
        if attribute(a, "axis", None) != attribute(b, "axis", None) or self.integers_of(a) != self.integers_of(b):
            return False
        pairs = ((self.scale(a), self.scale(b)), (self.zero_point(a), self.zero_point(b)))
        return all(x is not None and y is not None and np.array_equal(x, y) for x, y in pairs)

    def is_dequantized_alone(self, integers: str) -> bool:
        """Whether all that reads some integers, perhaps moved alone since, is DQ of this graph, not of subgraphs."""
        return integers not in self.outputs and all(
            place >= 0
            and (
                reader.op_type == DEQUANTIZE
                or (
                    reader.op_type in COMMUTING - {"Concat"}
                    and all(map(self.is_dequantized_alone, filter(None, reader.output)))
                )
            )
            for reader, place in self.readers[integers]
        )

    def can_be_renamed(self, tensor: str) -> bool:
        """Whether all that reads a tensor can read another one in its place: no output, nor read in a subgraph."""
        return tensor not in self.outputs and all(place >= 0 for _, place in self.readers[tensor])

    def quantizations(self) -> Iterator[Any]:
        """Each way in which a tensor is quantized, once: Q, and DQ of what is stored, or what no Q like it made."""
        for node in self.of_kind(QUANTIZE, DEQUANTIZE):
            before = self.quantizer_of(node) if node.op_type == DEQUANTIZE else None
            if before is None or not self.same_parameters(before, node):
                yield node

    def products(self) -> Iterator[Product]:
        """Products of which at least one factor is computed."""
        for node in self.nodes:
            if node.op_type not in WEIGHTED or all(self.is_known(name) for name in node.input[:2]):
                continue
            first, second = node.input[:2]
            if self.is_known(first):
                yield Product(node, second, first, self._channels(node, 0))
            else:
                yield Product(node, first, second, self._channels(node, 1) if self.is_known(second) else None)

    def _channels(self, node: Any, place: int) -> int:
        """The axis of output channels in a factor of a product."""
        rank = len(self.shape(node.input[place]))
        match node.op_type:
            case "Conv" | "ConvTranspose":
                return 0  # for ConvTranspose those of the input: see the rule
            case "Gemm" if place == 1:
                return 0 if attribute(node, "transB", 0) else 1
            case "Gemm":
                return 1 if attribute(node, "transA", 0) else 0
            case _:
                return max(rank - 1 if place == 1 else rank - 2, 0)

    def weight_dequantizer(self, product: Product) -> tuple[Any, int] | None:
        """The DQ of a product's weight, and the axis of output channels in what it dequantizes; None: there is none."""
        if product.channels is None:
            return None
        axis, node = product.channels, self.makers.get(product.other)
        while node is not None and node.op_type in _ON_WEIGHTS:
            if node.op_type == "Transpose":
                axis = (attribute(node, "perm", None) or range(len(self.shape(node.input[0])))[::-1])[axis]
            node = self.makers.get(node.input[0])
        return (node, axis) if node is not None and node.op_type == DEQUANTIZE else None

    @cached_property
    def biases(self) -> dict[str, tuple[Product, Any]]:
        """DQ, by what it gives -> the product whose constant bias that is, and the DQ."""
        named = ((product, name) for product in self.products() for name in self._biases_of(product))
        found = ((product, name, self.dequantizer_of(name)) for product, name in named if self.is_known(name))
        return {node.output[0]: (product, node) for product, _, node in found if node is not None}

    def _biases_of(self, product: Product) -> Iterator[str]:
        """What is added to each channel; for a MatMul by the Add that reads it."""
        node = product.node
        if node.op_type != "MatMul":
            yield from (name for name in node.input[2:] if name)
        elif product.channels is not None:
            for reader, place in self.readers[node.output[0]]:
                if reader.op_type == "Add" and len(self.shape(reader.input[1 - place])) <= 1:
                    yield reader.input[1 - place]


def _third(node: Any) -> str:
    return node.input[2] if len(node.input) > 2 else ""
