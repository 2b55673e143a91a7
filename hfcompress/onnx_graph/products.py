"""The products of a graph in which one factor is a weight, and which of them read the same activation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfcompress.onnx_graph.wiring import Wiring, attribute


@dataclass(frozen=True)
class Product:
    """A `MatMul` or `Gemm` of an activation (..., channels) and a weight.

    Attributes:
        node: of the graph.
        transposed: the weight is stored as (outputs, channels).
    """

    node: Any
    transposed: bool

    @property
    def input(self) -> str:
        """The activation."""
        return str(self.node.input[0])

    def weight(self, wiring: Wiring) -> np.ndarray:
        """(channels, outputs), a view of what is stored."""
        stored = wiring.constant(self.node.input[1])
        assert stored is not None  # a product has one
        return stored.T if self.transposed else stored

    def scale_rows_(self, wiring: Wiring, factors: np.ndarray) -> None:
        """Multiply the weight of each channel by a factor, (channels,)."""
        weight = self.weight(wiring)
        scaled = (weight * factors[:, None]).astype(weight.dtype)
        wiring.replace_(self.node, 1, np.ascontiguousarray(scaled.T if self.transposed else scaled))


def weight_products(wiring: Wiring) -> list[Product]:
    """All products with a weight of rank 2 that no other node reads; a second reader (tied weights, layers that share
    theirs) would need a copy of it."""
    found = []
    for node in wiring.nodes:
        if node.op_type not in ("MatMul", "Gemm") or attribute(node, "transA", 0):
            continue
        weight = node.input[1]
        if wiring.is_constant(weight) and len(wiring.shape(weight)) == 2 and wiring.is_read_once(weight):
            found.append(Product(node, bool(attribute(node, "transB", 0))))
    return found


def by_source(wiring: Wiring, products: Collection[Product]) -> dict[str, list[Product]]:
    """Activation -> the products that read it, as it is or some of its rows."""
    groups: dict[str, list[Product]] = defaultdict(list)
    for product in products:
        source = product.input
        while (above := _rows_of(wiring, source)) is not None:
            source = above
        groups[source].append(product)
    return dict(groups)


def are_all_readers(wiring: Wiring, tensor: str, products: Collection[Product]) -> bool:
    """Whether nothing but these products sees the values of a tensor: its shape may be read by others."""
    if tensor in wiring.outputs:
        return False
    outputs = {product.node.output[0] for product in products}
    for node, place in wiring.readers[tensor]:
        if node.op_type == "Shape" or (place == 0 and node.output[0] in outputs):
            continue
        if place != 0 or _rows_of(wiring, node.output[0]) is None:
            return False
        if not are_all_readers(wiring, node.output[0], products):
            return False
    return True


def _rows_of(wiring: Wiring, tensor: str) -> str | None:
    """The tensor some of whose rows, whole along the last axis, this one holds. None: it is made in another way."""
    node = wiring.makers.get(tensor)
    if node is None or not node.input or node.input[0] not in wiring.shapes:
        return None
    source = str(node.input[0])
    shape = wiring.shapes[source]
    match node.op_type:
        case "Identity":
            return source
        case "Gather":
            return source if attribute(node, "axis", 0) not in (-1, len(shape) - 1) else None
        case "Slice":
            axes = wiring.constant(node.input[3]) if len(node.input) > 3 else None
            return source if axes is not None and not {-1, len(shape) - 1} & set(axes.tolist()) else None
        case "Reshape":
            after = wiring.shapes.get(tensor)
            return source if after and shape[-1:] == after[-1:] != (None,) else None
    return None
