"""Graphs made by hand, in which each product stays in floating point for a reason of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: What each crafted product is, in the INT8 graph.
INTEGER, EXCLUDED, NOT_ASKED, ACTIVATIONS, UNFUSED = (
    "/encoder/query/MatMul",
    "/encoder/key/MatMul",
    "/head/Gemm",
    "/encoder/MatMul",
    "/stem/Conv",
)
WIDTH = 64


def node(kind: str, inputs: Sequence[str], name: str, output: str | None = None, **attributes: Any) -> Any:
    """A node as the exporter names it, and its output after it."""
    from onnx import helper

    return helper.make_node(kind, inputs, [output or f"{name}_output_0"], name=name, **attributes)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    """Small random weights."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) / 8


def fp32_parts() -> tuple[list[Any], dict[str, np.ndarray]]:
    """Stem (1 x 1 convolution) -> query, key -> their product -> head."""
    nodes = [
        node("Conv", ["x", "stem.weight"], UNFUSED),
        node("Relu", [f"{UNFUSED}_output_0"], "/stem/Relu"),
        node("Reshape", ["/stem/Relu_output_0", "rows"], "/encoder/Reshape"),
        node("MatMul", ["/encoder/Reshape_output_0", "query.weight"], INTEGER),
        node("MatMul", ["/encoder/Reshape_output_0", "key.weight"], EXCLUDED),
        node("Transpose", [f"{EXCLUDED}_output_0"], "/encoder/Transpose", perm=[1, 0]),
        node("MatMul", [f"{INTEGER}_output_0", "/encoder/Transpose_output_0"], ACTIVATIONS),
        node("Gemm", [f"{ACTIVATIONS}_output_0", "head.weight", "head.bias"], NOT_ASKED, "logits"),
    ]
    constants = {
        "stem.weight": weights(WIDTH, 3, 1, 1),
        "query.weight": weights(WIDTH, WIDTH, seed=1),
        "key.weight": weights(WIDTH, WIDTH, seed=2),
        "head.weight": weights(WIDTH, 2, seed=3),
        "head.bias": np.zeros(2, dtype=np.float32),
        "rows": np.array([WIDTH, WIDTH]),
    }
    return nodes, constants


def int8_parts() -> tuple[list[Any], dict[str, np.ndarray]]:
    """The same after a quantizer: query became integer, the stem has Q/DQ whose output nothing quantizes."""
    nodes, constants = fp32_parts()
    kept = {each.name: each for each in nodes}
    weight = constants.pop("stem.weight")
    query = constants.pop("query.weight")
    quantized = [
        node("QuantizeLinear", ["x", "x_scale", "x_zero"], "x_QuantizeLinear", "x_q"),
        node("DequantizeLinear", ["x_q", "x_scale", "x_zero"], "x_DequantizeLinear", "x_dq"),
        node("DequantizeLinear", ["stem.weight_q", "stem.scale", "stem.zero"], "stem.weight_DQ", "stem.weight_dq"),
        node("Conv", ["x_dq", "stem.weight_dq"], UNFUSED),
        kept["/stem/Relu"],
        kept["/encoder/Reshape"],
        *dynamic("/encoder/Reshape_output_0", "query", INTEGER),
        *(kept[name] for name in (EXCLUDED, "/encoder/Transpose", ACTIVATIONS, NOT_ASKED)),
    ]
    constants |= {
        "x_scale": np.float32(0.05),
        "x_zero": np.uint8(128),
        "stem.weight_q": np.round(weight / 0.004).clip(-127, 127).astype(np.int8),
        "stem.scale": np.float32(0.004),
        "stem.zero": np.int8(0),
        "query.weight_q": np.round(query / 0.004).clip(-127, 127).astype(np.int8),
        "query.scale": np.float32(0.004),
        "query.zero": np.int8(0),
    }
    return quantized, constants


def dynamic(tensor: str, layer: str, name: str) -> list[Any]:
    """What dynamic quantization puts in the place of a `MatMul`."""
    from onnx import TensorProto, helper

    parts = [f"{tensor}_{part}" for part in ("quantized", "scale", "zero_point")]
    return [
        helper.make_node("DynamicQuantizeLinear", [tensor], parts, name=f"{tensor}_QuantizeLinear"),
        node("MatMulInteger", [parts[0], f"{layer}.weight_q", parts[2], f"{layer}.zero"], f"{name}_quant", f"{name}_i"),
        node("Cast", [f"{name}_i"], f"{name}_cast", f"{name}_f", to=TensorProto.FLOAT),
        node("Mul", [parts[1], f"{layer}.scale"], f"{name}_scales", f"{name}_s"),
        node("Mul", [f"{name}_f", f"{name}_s"], f"{name}_scaled", f"{name}_output_0"),
    ]


def save(folder: Path, nodes: Sequence[Any], constants: dict[str, np.ndarray]) -> Path:
    """A folder with one graph: x (1, 3, height, width) -> logits (rows, 2)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "crafted", [x], [logits], stored)
    folder.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    return folder


def save_asked(folder: Path, operators: Sequence[str], excluded: Sequence[str]) -> None:
    """What Optimum writes beside a graph that it quantized."""
    asked = {"operators_to_quantize": list(operators), "nodes_to_exclude": list(excluded)}
    (folder / "ort_config.json").write_text(json.dumps({"quantization": asked}))
