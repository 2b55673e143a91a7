"""A Q/DQ graph that TensorRT takes as it is, made by hand, and what faults are planted with.

Image -> Conv -> Relu -> MaxPool -> (Conv, Conv, plus what went in) -> rows -> query -> LayerNorm -> Softmax -> head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

CHANNELS, WIDTH, OPSET = 4, 16, 17


class Crafted:
    """A model that is put together node by node; every tensor is named after the node that makes it."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def node(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: Any) -> str:
        self.constants[name] = np.asarray(values)
        return name

    def pair(self, tensor: str, name: str, scale: Any = 0.05, axis: int | None = None) -> str:
        """Q and DQ behind a tensor: `{name}_q` and `{name}_dq`."""
        scale = np.asarray(scale, dtype=np.float32)
        parameters = [
            self.constant(f"{name}_scale", scale),
            self.constant(f"{name}_zero", np.zeros(scale.shape, np.int8)),
        ]
        at = {} if axis is None else {"axis": axis}
        self.node("QuantizeLinear", [tensor, *parameters], f"{name}_q", **at)
        return self.node("DequantizeLinear", [f"{name}_q", *parameters], f"{name}_dq", **at)

    def weight(self, name: str, *shape: int, axis: int) -> str:
        """A weight with Q and DQ, one scale for each channel of an axis."""
        values = np.random.default_rng(len(self.constants)).normal(size=shape).astype(np.float32)
        others = tuple(each for each in range(len(shape)) if each != axis)
        scales = np.abs(values).max(axis=others) / 127
        return self.pair(self.constant(name, values), name, scales, axis)

    def model(self) -> Any:
        from onnx import TensorProto, checker, helper, numpy_helper

        stored = [numpy_helper.from_array(values, name) for name, values in self.constants.items()]
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
        graph = helper.make_graph(self.nodes, "crafted", [image], [logits], stored)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        checker.check_model(made)
        return made


def clean() -> Any:
    """The model without a fault."""
    made = Crafted()
    weight, bias = made.weight("stem.w", CHANNELS, 3, 1, 1, axis=0), np.arange(CHANNELS, dtype=np.float32)
    stem = made.node("Conv", [made.pair("image", "image"), weight, made.constant("bias", bias)], "stem")
    pooled = made.node("MaxPool", [made.node("Relu", [stem], "relu")], "pool", kernel_shape=[2, 2], strides=[2, 2])
    weight = made.weight("once.w", CHANNELS, CHANNELS, 1, 1, axis=0)
    once = made.node("Conv", [made.pair(pooled, "pool"), weight], "once")
    total = made.node("Add", [once, made.pair(pooled, "kept")], "sum")
    rows = made.node("Reshape", [total, made.constant("shape", [0, CHANNELS, WIDTH])], "rows")
    turned = made.node("Transpose", [made.weight("query.w", WIDTH, WIDTH, axis=0)], "turned", perm=[1, 0])
    query = made.node("MatMul", [made.pair(rows, "rows"), turned], "query")
    query = made.node(
        "Add", [query, made.constant("query.b", np.linspace(-1, 1, WIDTH, dtype=np.float32))], "query.add"
    )
    gains = [made.constant(name, np.ones(WIDTH, np.float32)) for name in ("gain", "shift")]
    norm = made.node("LayerNormalization", [query, *gains], "norm")
    keys = made.node("Transpose", [made.pair(norm, "keys")], "keys", perm=[0, 2, 1])
    scores = made.node("MatMul", [made.pair(norm, "norm"), keys], "scores")
    probabilities = made.node("Softmax", [scores], "softmax", axis=-1)
    flat = made.node("Flatten", [made.pair(probabilities, "softmax")], "flat")
    head = made.weight("head.w", 2, CHANNELS * CHANNELS, axis=0)
    made.node("Gemm", [flat, head, made.constant("head.b", np.zeros(2, np.float32))], "logits", transB=1)
    return made.model()


def find(model: Any, name: str) -> Any:
    """A node by name."""
    return next(node for node in model.graph.node if node.name == name)


def store(model: Any, name: str, values: Any) -> str:
    """Put a constant into a model, in place of one of that name."""
    from onnx import numpy_helper

    for tensor in [each for each in model.graph.initializer if each.name == name]:
        model.graph.initializer.remove(tensor)
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def stored(model: Any, name: str) -> np.ndarray:
    """The values of a constant."""
    from onnx import numpy_helper

    return numpy_helper.to_array(next(each for each in model.graph.initializer if each.name == name))


def insert(model: Any, before: str, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
    """Put a node in front of another one; what it makes has its name."""
    from onnx import helper

    place = next(index for index, node in enumerate(model.graph.node) if node.name == before)
    outputs = [name, *attributes.pop("also", ())]
    model.graph.node.insert(place, helper.make_node(kind, list(inputs), outputs, name=name, **attributes))
    return name


def insert_pair(model: Any, before: str, tensor: str, name: str, scale: float = 0.05) -> str:
    """Put Q and DQ in front of a node; gives the rounded tensor."""
    parameters = [store(model, f"{name}_scale", np.float32(scale)), store(model, f"{name}_zero", np.int8(0))]
    insert(model, before, "QuantizeLinear", [tensor, *parameters], f"{name}_q")
    return insert(model, before, "DequantizeLinear", [f"{name}_q", *parameters], f"{name}_dq")


def pass_by(model: Any, name: str) -> None:
    """Take the pair `{name}_q`, `{name}_dq` out of a graph."""
    quantize, dequantize = find(model, f"{name}_q"), find(model, f"{name}_dq")
    for node in model.graph.node:
        for place, tensor in enumerate(node.input):
            if tensor == dequantize.output[0]:
                node.input[place] = quantize.input[0]
    for node in (quantize, dequantize):
        model.graph.node.remove(node)
