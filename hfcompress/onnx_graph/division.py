"""Divide the channels of a tensor by constants at no cost: by changing constants further up the graph.

Where a tensor is read by nobody else, dividing it and dividing what it was made from can be the same thing: the gamma
and beta of a layer normalization, written as one operator or as several; the columns and the bias of the product
before; and through what is linear in each channel or moves channels as a whole (sums, ReLU, the probabilities of an
attention, splitting and joining heads), again what lies before. A residual connection and a GELU end the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from hfcompress.onnx_graph.wiring import Wiring, attribute


@dataclass(frozen=True)
class Edit:
    """One constant to divide.

    Attributes:
        node: that reads it.
        place: among the node's inputs.
        channels: the channel of each of its elements, by broadcasting.
    """

    node: Any
    place: int
    channels: np.ndarray


def plan_division(wiring: Wiring, tensor: str, channels: int) -> list[Edit] | None:
    """The edits that divide the last axis of a tensor, whoever reads it. None: there is no such way."""
    shape = wiring.shape(tensor)
    if not shape or shape[-1] != channels:
        return None
    return _made_from(wiring, tensor, np.arange(channels).reshape([1] * (len(shape) - 1) + [channels]))


def plan_scaling(wiring: Wiring, tensor: str) -> list[Edit] | None:
    """The same for a whole tensor: all of its elements are channel 0."""
    sizes = wiring.shape(tensor)
    for axis in reversed(range(len(sizes))):
        # The last axes are those of channels, in heads or not; how many is known when they were put together.
        channels = np.zeros([1] * axis + [size or 0 for size in sizes[axis:]], dtype=int)
        edits = None if channels.size == 0 else _made_from(wiring, tensor, channels)
        if edits is not None:
            return edits
    return None


def divide_(wiring: Wiring, edits: list[Edit], factors: np.ndarray) -> None:
    """Carry a plan out: channel i is divided by `factors[i]`."""
    for edit in edits:
        constant = wiring.constant(edit.node.input[edit.place])
        assert constant is not None  # or it would not be in the plan
        wiring.replace_(edit.node, edit.place, (constant / factors[edit.channels]).astype(constant.dtype))


def _above(wiring: Wiring, tensor: str, channels: np.ndarray) -> list[Edit] | None:
    """The edits that divide a tensor which one node reads: whoever else reads it would see the change."""
    readers = [node for node, _ in wiring.readers[tensor] if node.op_type != "Shape"]
    if len(readers) != 1 or tensor in wiring.outputs or len(wiring.shape(tensor)) != channels.ndim:
        return None
    sizes = zip(wiring.shape(tensor), channels.shape, strict=True)
    if any(wanted not in (1, size) for size, wanted in sizes):
        return None  # it is broadcast along its channels
    return _made_from(wiring, tensor, channels)


def _made_from(wiring: Wiring, tensor: str, channels: np.ndarray) -> list[Edit] | None:
    """The edits for a tensor of which `channels`, of its rank, names the channel of each element by broadcasting."""
    node = wiring.makers.get(tensor)
    if node is None:
        return None
    match node.op_type:
        case "LayerNormalization":
            return _constants(wiring, node, channels, range(1, len(node.input)))
        case "Identity" | "Relu":
            return _above(wiring, node.input[0], channels)
        case "Add" | "Sub":
            return _both(wiring, node, channels)
        case "Mul":
            return _either(wiring, node, channels)
        case "MatMul":
            return _product(wiring, node, channels)
        case "Gemm":
            return _gemm(wiring, node, channels)
        case "Transpose":
            order = attribute(node, "perm", list(range(channels.ndim))[::-1])
            return _above(wiring, node.input[0], channels.transpose(np.argsort(order)))
        case "Reshape":
            moved = _reshaped(channels, wiring.shape(tensor), wiring.shape(node.input[0]))
            return None if moved is None else _above(wiring, node.input[0], moved)
    return None


def _constants(wiring: Wiring, node: Any, channels: np.ndarray, places: range) -> list[Edit] | None:
    """Constants along the last axis alone."""
    if channels.shape[-1] != channels.size or not all(wiring.is_constant(node.input[place]) for place in places):
        return None
    if node.op_type == "LayerNormalization" and attribute(node, "axis", -1) not in (-1, channels.ndim - 1):
        return None
    return [Edit(node, place, channels.reshape(-1)) for place in places]


def _both(wiring: Wiring, node: Any, channels: np.ndarray) -> list[Edit] | None:
    edits: list[Edit] = []
    for place, name in enumerate(node.input):
        if wiring.is_constant(name):
            edits.append(Edit(node, place, _without_leading_ones(channels)))
        elif (found := _above(wiring, name, channels)) is not None:
            edits += found
        else:
            return None
    return edits


def _either(wiring: Wiring, node: Any, channels: np.ndarray) -> list[Edit] | None:
    """One factor of a `Mul`: a vector of constants, or what gives the other factor. A scalar stays one, since ONNX
    Runtime knows a GELU by it."""
    for place, name in enumerate(node.input):
        if wiring.is_constant(name) and prod(size or 0 for size in wiring.shape(name)) > 1:
            return [Edit(node, place, _without_leading_ones(channels))]
    for name in node.input:
        found = None if wiring.is_constant(name) else _above(wiring, name, channels)
        if found is not None:
            return found
    return None


def _product(wiring: Wiring, node: Any, channels: np.ndarray) -> list[Edit] | None:
    """The columns of the right factor."""
    left, right = node.input
    if wiring.is_constant(right):
        own = len(wiring.shape(right)) == 2 and wiring.is_read_once(right)
        return _constants(wiring, node, channels, range(1, 2)) if own else None
    if wiring.is_constant(left) or channels.ndim < 2 or channels.shape[-2] != 1:
        return None
    return _above(wiring, right, channels)


def _gemm(wiring: Wiring, node: Any, channels: np.ndarray) -> list[Edit] | None:
    edits = _constants(wiring, node, channels, range(1, len(node.input)))
    if edits is None or not wiring.is_read_once(node.input[1]):
        return None
    if attribute(node, "transB", 0):
        edits[0] = Edit(node, 1, channels.reshape(-1, 1))
    return edits


def _reshaped(channels: np.ndarray, after: tuple[int | None, ...], before: tuple[int | None, ...]) -> np.ndarray | None:
    """`channels` of the tensor that was reshaped: the sizes from the first axis of channels on must be the same number
    of elements in both."""
    first = next((axis for axis, size in enumerate(channels.shape) if size > 1), channels.ndim)
    inner = [size or 0 for size in after[first:]]  # 0 where it is not fixed
    for start in range(len(before)):
        outer = [size or 0 for size in before[start:]]
        if 0 < prod(inner) == prod(outer):
            whole = np.broadcast_to(channels.reshape(channels.shape[first:]), inner)
            return whole.reshape([1] * start + outer)
    return None


def _without_leading_ones(channels: np.ndarray) -> np.ndarray:
    first = next((axis for axis, size in enumerate(channels.shape) if size > 1), channels.ndim - 1)
    return channels.reshape(channels.shape[first:])
