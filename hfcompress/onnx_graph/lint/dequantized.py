"""What a DQ of constants gives, as the numbers that can be stored in its place."""

from __future__ import annotations

from typing import Any

import numpy as np

from hfcompress.onnx_graph.lint.graph import QdqGraph
from hfcompress.onnx_graph.wiring import attribute


def is_dequantizable(graph: QdqGraph, node: Any) -> bool:
    """Whether `dequantized` knows what a DQ gives."""
    if _before_rounding(graph, node) is not None:
        return True
    scale, zero_point, sizes = graph.scale(node), graph.zero_point(node), graph.shape(node.input[0])
    if scale is None or zero_point is None or not graph.is_constant(node.input[0]) or attribute(node, "block_size", 0):
        return False
    if scale.size == 1:
        return zero_point.size == 1
    axis = attribute(node, "axis", 1)
    fits = -len(sizes) <= axis < len(sizes) and sizes[axis] == scale.size
    return fits and scale.ndim == 1 and zero_point.size in (1, scale.size)


def dequantized(graph: QdqGraph, node: Any) -> np.ndarray:
    """The numbers that a DQ of stored integers, or of a constant that is quantized first, gives.

    Raises:
        ValueError: it does not read constants, or has scales of blocks; see `is_dequantizable`.
    """
    before = _before_rounding(graph, node)
    if before is not None:
        return before
    stored, scale, zero_point = graph.constant(node.input[0]), graph.scale(node), graph.zero_point(node)
    if stored is None or scale is None or zero_point is None or not is_dequantizable(graph, node):
        raise ValueError(f"{graph.name_of(node)} does not dequantize constants")
    shape = [1] * stored.ndim
    if scale.size > 1:
        shape[attribute(node, "axis", 1)] = -1
        zero_point = np.broadcast_to(zero_point.reshape(-1), scale.size)
    # In float64, which has all integers of 32 bits, and the fractions of FP8 and FP4 too.
    steps = stored.astype(np.float64) - zero_point.astype(np.float64).reshape(shape)
    values: np.ndarray = (steps * scale.astype(np.float64).reshape(shape)).astype(scale.dtype)
    return values


def _before_rounding(graph: QdqGraph, node: Any) -> np.ndarray | None:
    """The constant that is quantized right in front of a DQ; None: it is none, or moves in between."""
    quantize = graph.quantizer_of(node)
    beside = quantize is not None and quantize.output[0] == node.input[0]
    return graph.constant(quantize.input[0]) if quantize is not None and beside else None
