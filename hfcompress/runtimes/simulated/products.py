"""The integer products of a graph that ONNX Runtime has optimized, computed one by one.

Each does what the operator's kernel does around `MlasGemm`: zero points by sums of rows and columns, in 32 bits, then
scales in float32 (`dynamic_quantize_matmul.cc`, `quantize_linear_matmul.cc`, `quant_gemm.cc`, `qlinearconv.cc`,
`MlasRequantizeOutput` in `quantize.cpp`). What multiplies the 8-bit matrices is an argument: see `saturation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hfcompress.errors import ModelError
from hfcompress.runtimes.simulated.saturation import exact_matmul

#: (M, K) activations and (K, N) weights to the (M, N) int32 sums of their products.
MatMul = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: Operator -> the place of its weights among its inputs.
WEIGHTS = {
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
    "QLinearMatMul": 3,
    "QGemm": 3,
    "QLinearConv": 3,
}


def weight_matrix(node: Any, constants: Mapping[str, Any]) -> np.ndarray | None:
    """The signed 8-bit weights of a product in the order in which the kernel multiplies them.

    Args:
        node: of an optimized graph.
        constants: name -> initializer.

    Returns:
        (K, N) int8; None when the node is no product, or one whose sums never have 16 bits: its weights are unsigned,
        or it is a depthwise convolution.

    Raises:
        ModelError: signed weights of a form that is not simulated.
    """
    from onnx import TensorProto, numpy_helper

    place = WEIGHTS.get(node.op_type)
    tensor = None if place is None else constants.get(node.input[place])
    if tensor is None or tensor.data_type != TensorProto.INT8:
        return None
    weights: np.ndarray = numpy_helper.to_array(tensor)
    if node.op_type == "QLinearConv":
        return None if _is_depthwise(node, weights) else _by_tap(weights)
    if weights.ndim != 2:
        raise ModelError(
            f"{node.op_type} {node.name} has weights of shape {weights.shape}; only matrices can be simulated"
        )
    return weights.T if _attribute(node, "transB", 0) else weights


def compute(node: Any, inputs: list[Any], matmul: MatMul) -> np.ndarray:
    """The output of a product.

    Args:
        node: one for which `weight_matrix` is not None.
        inputs: its inputs in order, None where one is left out.
        matmul: multiplies the 8-bit matrices.
    """
    inputs = [*inputs, *[None] * (9 - len(inputs))]
    match node.op_type:
        case "MatMulInteger":
            a, b, a_zero, b_zero = inputs[:4]
            return _sums(a, a_zero, b, b_zero, matmul)
        case "MatMulIntegerToFloat":
            a, b, a_scale, b_scale, a_zero, b_zero, bias = inputs[:7]
            return _scaled(_sums(a, a_zero, b, b_zero, matmul), a_scale * b_scale, bias)
        case "DynamicQuantizeMatMul":
            values, b, b_scale, b_zero, bias = inputs[:5]
            a, a_scale, a_zero = quantize_dynamically(values)
            return _scaled(_sums(a, a_zero, b, b_zero, matmul), a_scale * b_scale, bias)
        case "QLinearMatMul":
            a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs[:8]
            return _requantized(_sums(a, a_zero, b, b_zero, matmul), a_scale * b_scale / y_scale, y_zero)
        case "QGemm":
            return _gemm(node, inputs, matmul)
        case _:
            return _conv(node, inputs, matmul)


def quantize_dynamically(values: np.ndarray) -> tuple[np.ndarray, np.float32, np.uint8]:
    """Activations to (uint8, scale, zero point) over the whole tensor, as `DynamicQuantizeLinear` does."""
    low, high = np.minimum(values.min(), np.float32(0)), np.maximum(values.max(), np.float32(0))
    scale = np.float32(1) if low == high else np.float32((high - low) / np.float32(255))
    zero = np.rint(np.clip(-low / scale, 0, 255))
    return np.clip(np.rint(values / scale) + zero, 0, 255).astype(np.uint8), scale, np.uint8(zero)


def _gemm(node: Any, inputs: list[Any], matmul: MatMul) -> np.ndarray:
    a, a_scale, a_zero, b, b_scale, b_zero, bias, y_scale, y_zero = inputs
    a, b = (a.T if _attribute(node, "transA", 0) else a), (b.T if _attribute(node, "transB", 0) else b)
    sums = _sums(a, a_zero, b, b_zero, matmul)
    scale = np.float32(_attribute(node, "alpha", 1.0)) * a_scale * b_scale
    sums = sums if bias is None else sums + bias
    return _scaled(sums, scale) if y_scale is None else _requantized(sums, scale / y_scale, y_zero)


def _conv(node: Any, inputs: list[Any], matmul: MatMul) -> np.ndarray:
    x, x_scale, x_zero, weights, w_scale, w_zero, y_scale, y_zero, bias = inputs
    groups, matrix = _attribute(node, "group", 1), _by_tap(weights)
    scale, images = x_scale * w_scale / y_scale, []
    for image in x:  # one at a time: each has a row for every pixel of the output
        columns = _windows(node, image, weights.shape[2:], x_zero)
        parts = zip(np.split(columns, groups, axis=-1), np.split(matrix, groups, axis=1), strict=True)
        sums = np.concatenate(
            [_sums(part.reshape(-1, len(side)), x_zero, side, w_zero.flat[0], matmul) for part, side in parts], axis=1
        )
        made = _requantized(sums if bias is None else sums + bias, scale, y_zero)
        images.append(made.T.reshape(-1, *columns.shape[: weights.ndim - 2]))
    return np.stack(images)


def _windows(node: Any, image: np.ndarray, kernel: tuple[int, ...], zero: np.ndarray) -> np.ndarray:
    """What each output pixel sees of (C, *size): (*output, *kernel, C); what lies outside is the zero point."""
    rank = len(kernel)
    if _attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise ModelError(
            f"QLinearConv {node.name} pads by `auto_pad`, which is not simulated; export with plain `pads`"
        )
    pads = _attribute(node, "pads", [0] * 2 * rank)
    strides, dilations = (_attribute(node, name, [1] * rank) for name in ("strides", "dilations"))
    padded = np.pad(image, [(0, 0), *zip(pads[:rank], pads[rank:], strict=True)], constant_values=zero.item())
    reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    seen = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(1, rank + 1)))
    steps = [slice(None), *(slice(None, None, step) for step in (*strides, *dilations))]
    return np.moveaxis(seen[tuple(steps)], 0, -1)


def _by_tap(weights: np.ndarray) -> np.ndarray:
    """(N, C, *kernel) to (prod(kernel) C, N): K runs over the channels of a tap, then over taps (`ReorderFilter`)."""
    return np.moveaxis(weights, (0, 1), (-1, -2)).reshape(-1, len(weights))


def _is_depthwise(node: Any, weights: np.ndarray) -> bool:
    return weights.shape[1] == 1 and bool(len(weights) == _attribute(node, "group", 1))


def _sums(a: np.ndarray, a_zero: Any, b: np.ndarray, b_zero: Any, matmul: MatMul) -> np.ndarray:
    """Sums over k of (a - a_zero)(b - b_zero), from those of a b: zero points are taken off in 32 bits afterwards."""
    rows = a.reshape(-1, a.shape[-1])
    # Signed activations get the portable kernel on x86: S8S8 never saturates.
    sums = (matmul if a.dtype == np.uint8 else exact_matmul)(rows, b).astype(np.int64)
    left, right = (np.int64(0) if zero is None else np.asarray(zero).astype(np.int64) for zero in (a_zero, b_zero))
    if left.any():
        sums -= left * (b.sum(axis=0, dtype=np.int64) - len(b) * right)
    if right.any():
        sums -= rows.sum(axis=1, dtype=np.int64)[:, None] * right
    return sums.astype(np.int32).reshape(*a.shape[:-1], b.shape[1])


def _scaled(sums: np.ndarray, scale: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    scaled: np.ndarray = sums.astype(np.float32) * scale
    return scaled if bias is None else scaled + bias


def _requantized(sums: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    bounds = np.iinfo(zero.dtype)
    rounded = np.rint(sums.astype(np.float32) * scale) + zero.astype(np.float32)
    requantized: np.ndarray = np.clip(rounded, bounds.min, bounds.max).astype(zero.dtype)
    return requantized


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(found) for found in node.attribute if found.name == name), default)
