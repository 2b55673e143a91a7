"""Rules about the integers of Q/DQ: their type, zero point, scale and axis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from hfcompress.onnx_graph.lint.findings import Fault, Linted
from hfcompress.onnx_graph.lint.graph import QUANTIZE, QdqGraph
from hfcompress.onnx_graph.lint.parser import quantized_types
from hfcompress.onnx_graph.wiring import Shape, attribute

#: Where 0 is in uint8 that stands for int8.
MIDDLE = 128
#: Type, by the name of the parser's table -> how many numbers of a weight may have one scale, where blocks of them may:
#: TensorRT documentation, Quantization Schemes.
_BLOCKS = {"INT4": (64, 128), "FP8": (32,), "FP4": (16,)}


def integer_types(linted: Linted) -> Iterator[Fault]:
    """Integers that TensorRT has no kernels for: it knows int8, int4, fp8 and fp4 alone."""
    from onnx import TensorProto

    taken = linted.parser.takes["DequantizeLinear"]
    for node in linted.graph.quantizations():
        kind = linted.graph.integers_of(node)
        if kind and quantized_types().get(kind) not in taken and node.output[0] not in linted.graph.biases:
            name = TensorProto.DataType.Name(kind).lower()
            yield linted.at(node, f"{_tensor(node)} as {name}", is_signed_in_disguise(linted.graph, node))


def is_signed_in_disguise(graph: QdqGraph, node: Any) -> bool:
    """Whether it quantizes to uint8 with zero point 128, int8 with zero point 0 but for an offset, and can be that."""
    from onnx import TensorProto

    zero_point = graph.zero_point(node)
    if graph.integers_of(node) != TensorProto.UINT8 or zero_point is None or not (zero_point == MIDDLE).all():
        return False
    if node.op_type == QUANTIZE:
        return graph.is_dequantized_alone(node.output[0])
    return graph.constant(node.input[0]) is not None


def zero_points(linted: Linted) -> Iterator[Fault]:
    """Zero points other than 0."""
    for node in linted.graph.quantizations():
        zero_point = linted.graph.zero_point(node)
        if zero_point is None:
            yield linted.at(node, f"the zero point of {_tensor(node)} is computed", False)
        elif zero_point.astype(np.float32).any():
            worst = zero_point.reshape(-1)[np.abs(zero_point.reshape(-1).astype(np.int64)).argmax()]
            what = f"the zero point of {_tensor(node)} is {worst}"
            yield linted.at(node, what, is_signed_in_disguise(linted.graph, node))


def scales(linted: Linted) -> Iterator[Fault]:
    """Scales that are no positive numbers, not constant, or not as many as there are channels."""
    for node in linted.graph.quantizations():
        scale = linted.graph.scale(node)
        if scale is None:
            yield linted.at(node, f"the scale of {_tensor(node)} is computed at run time")
        elif not (np.isfinite(scale).all() and (scale > 0).all()):
            yield linted.at(node, f"the scale of {_tensor(node)} is {scale.min()} somewhere")
        elif scale.size > 1 and (wrong := _miscounted(linted.graph, node, scale)):
            yield linted.at(node, wrong)


def _miscounted(graph: QdqGraph, node: Any, scale: np.ndarray) -> str:
    sizes, axis = graph.shape(node.input[0]), attribute(node, "axis", 1)
    if _has_blocks(node, scale):
        return _misblocked(graph, node, scale)
    if not -len(sizes) <= axis < len(sizes) or sizes[axis] is None or sizes[axis] == scale.size:
        return ""
    return f"{_tensor(node)} has {sizes[axis]} channels on axis {axis}, and {scale.size} scales"


def _has_blocks(node: Any, scale: np.ndarray) -> bool:
    return scale.ndim > 1 or bool(attribute(node, "block_size", 0))


def _misblocked(graph: QdqGraph, node: Any, scale: np.ndarray) -> str:
    """What is wrong with scales of blocks."""
    kind = quantized_types().get(graph.integers_of(node), "")
    if not kind:
        return ""  # the type itself is the fault, or not known
    if kind not in _BLOCKS:
        return f"the scales of {_tensor(node)} are of blocks, which {kind.lower()} has none of"
    size = attribute(node, "block_size", 0)
    if size not in _BLOCKS[kind]:
        return f"{_tensor(node)} has blocks of {size}, and {kind.lower()} {' or '.join(map(str, _BLOCKS[kind]))}"
    found, wanted = list(scale.shape), _blocks(graph.shape(node.input[0]), attribute(node, "axis", 1), size)
    if wanted is None or found == wanted:
        return ""
    return f"{_tensor(node)} has scales of shape {found}, and blocks of shape {wanted}"


def _blocks(sizes: Shape, axis: int, size: int) -> list[int] | None:
    """How many blocks a tensor has along each axis; None: its sizes are not known."""
    blocks = [each for each in sizes if each is not None]
    if len(blocks) < len(sizes) or not -len(blocks) <= axis < len(blocks):
        return None
    blocks[axis] = math.ceil(blocks[axis] / size)
    return blocks


def written_axes(linted: Linted) -> Iterator[Fault]:
    """Scales of channels whose axis is not written: ONNX means axis 1, and TensorRT's parser takes axis 0."""
    for node in linted.graph.of_kind("QuantizeLinear", "DequantizeLinear"):
        scale = linted.graph.scale(node)
        if scale is not None and scale.size > 1 and attribute(node, "axis", None) is None:
            yield linted.at(node, f"{scale.size} scales of {_tensor(node)}, and no axis")


def activation_channels(linted: Linted) -> Iterator[Fault]:
    """One scale for each channel of an activation."""
    for node in linted.graph.quantizations():
        scale = linted.graph.scale(node)
        if scale is not None and scale.size > 1 and not linted.graph.is_known(node.input[0]):
            yield linted.at(node, f"{scale.size} scales for the activation {node.input[0]}")


def weight_channels(linted: Linted) -> Iterator[Fault]:
    """Scales of a weight that are not those of its output channels."""
    graph = linted.graph
    for product in graph.products():
        found = graph.weight_dequantizer(product)
        if found is None:
            continue
        node, wanted = found
        scale, rank = graph.scale(node), len(graph.shape(node.input[0]))
        axis = attribute(node, "axis", 1)
        if scale is None or scale.size == 1 or _has_blocks(node, scale):
            continue
        if rank and axis % rank != wanted:
            what = f"scales on axis {axis % rank} of its weight, whose output channels are axis {wanted}"
            yield Fault(graph.name_of(product.node), what, node)


def _tensor(node: Any) -> str:
    return str(node.input[0])
