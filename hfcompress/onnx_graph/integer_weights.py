"""Put the integers themselves into an exported Q/DQ graph, in the shapes that ONNX Runtime fuses.

PyTorch's exporter writes the weight of a fake-quantized layer in floating point, with QuantizeLinear, DequantizeLinear
and Transpose behind it. This rewrite leaves DequantizeLinear of an int8 weight that is transposed already: the same
numbers, and a quarter of the size. A table of embeddings is dequantized after the lookup; Gemm and Conv get an int32
bias, which they need in order to multiply integers; equal quantizations of one tensor become one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: What the names of integer weights end in; in front stands the name of the layer, as PyTorch names modules.
INTEGER_WEIGHT = ".weight_quantized"
#: What the name of a rounded weight ends in after export, see `models/fake_quant/quantizer.py`.
_BAKED = ".weight_quantizer.baked"
#: Where the quantizers of an attention's products are, see `models/fake_quant/attention.py`; and which product a first
#: factor is of.
_PRODUCTS = "/attention_products/"
_FIRST_FACTORS = {"query": "query_key", "probabilities": "probabilities_value"}


def store_integer_weights_(model: Any) -> tuple[str, ...]:
    """Rewrite an exported `onnx.ModelProto` in place; its weights have to be in it (no external data).

    Returns:
        The layers whose weights are integers now, and products of attentions whose factors are, which are named after
        their attention: `...query_key` and `...probabilities_value`.
    """
    rewrite = _Rewrite(model.graph)
    for node in rewrite.of_kind("QuantizeLinear"):
        rewrite.store_(node)
    for node in (*rewrite.of_kind("Gemm"), *rewrite.of_kind("Conv")):
        rewrite.store_bias_(node)
    for kind in ("Mul", "QuantizeLinear", "DequantizeLinear"):  # Mul: smoothed inputs
        rewrite.merge_equal_(kind)
    for node in rewrite.of_kind("MatMul"):
        rewrite.name_product_(node)
    rewrite.write_()
    return tuple(rewrite.stored)


class _Rewrite:
    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.nodes = list(graph.node)
        self.constants: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        self.names: dict[str, str] = {}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
            elif node.op_type == "Identity" and node.input[0] in self.constants:
                # The exporter stores equal constants once.
                self.constants[node.output[0]] = self.constants[node.input[0]]
        self.stored: dict[str, None] = {}

    def of_kind(self, kind: str) -> list[Any]:
        return [node for node in self.nodes if node.op_type == kind]

    def store_(self, node: Any) -> None:
        """Replace QuantizeLinear of a weight by its result, transposed where all that reads it is a Transpose."""
        if not node.input[0].endswith(_BAKED):
            return
        layer = node.input[0].removesuffix(_BAKED)
        axis, values = self._quantized(node)
        for dequantize in self._readers(node.output[0]):
            turned = self._readers(dequantize.output[0])
            if all(each.op_type == "Transpose" for each in turned) and values.ndim == 2:
                axis, values = 1 - axis, values.T
                for transpose in turned:
                    self.nodes.remove(transpose)
                    self._rename_(transpose.output[0], dequantize.output[0])
            dequantize.input[0] = self._constant_(layer + INTEGER_WEIGHT, values)
            self._set_axis_(dequantize, axis)
            if turned and all(each.op_type == "Gather" for each in turned):
                self._look_up_integers_(dequantize, turned)
        self.nodes.remove(node)
        self.stored[layer] = None

    def _look_up_integers_(self, dequantize: Any, lookups: list[Any]) -> None:
        """Look up first and dequantize then, and not the whole table at every call."""
        from onnx import helper

        for lookup in lookups:
            found = f"{lookup.output[0]}_integers"
            inputs, place = [found, *dequantize.input[1:]], self.nodes.index(lookup)
            self.nodes.insert(place + 1, helper.make_node("DequantizeLinear", inputs, list(lookup.output)))
            lookup.input[0], lookup.output[0] = dequantize.input[0], found

    def store_bias_(self, node: Any) -> None:
        """Give a product an int32 bias in its own steps: with another one ONNX Runtime multiplies floats."""
        from onnx import helper
        from onnx.numpy_helper import to_array

        scales = [self._scale_of(name) for name in node.input[:2]]
        if len(node.input) != 3 or node.input[2] not in self.constants or scales[0] is None or scales[1] is None:
            return
        scale = scales[0] * scales[1]
        steps = np.rint(to_array(self.constants[node.input[2]]).astype(np.float64) / scale)
        if np.abs(steps).max(initial=0) >= 2**31:
            return  # it stays a float, and the layer in floating point
        bias, parts = node.input[2], {"quantized": steps.astype(np.int32), "scale": scale}
        parts["zero_point"] = np.zeros_like(scale, dtype=np.int32)
        inputs = [self._constant_(f"{bias}_{name}", value) for name, value in parts.items()]
        axis = {"axis": 0} if scale.size > 1 else {}
        dequantize = helper.make_node("DequantizeLinear", inputs, [f"{bias}_dequantized"], **axis)
        self.nodes.insert(self.nodes.index(node), dequantize)
        node.input[2] = dequantize.output[0]

    def _scale_of(self, name: str) -> np.ndarray | None:
        """The scales of a tensor that is dequantized from integers."""
        from onnx.numpy_helper import to_array

        maker = next((node for node in self.nodes if name in node.output), None)
        if maker is None or maker.op_type != "DequantizeLinear" or maker.input[1] not in self.constants:
            return None
        scale: np.ndarray = to_array(self.constants[maker.input[1]])
        return scale

    def _quantized(self, node: Any) -> tuple[int, np.ndarray]:
        """The axis of the scales, and the integers."""
        from onnx.numpy_helper import to_array

        values, scale, zero_point = (to_array(self.constants[name]) for name in node.input)
        axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
        shape = [-1 if place == axis else 1 for place in range(values.ndim)]
        steps = np.rint(values / scale.reshape(shape)) + zero_point.astype(np.int32).reshape(shape)
        limits = np.iinfo(zero_point.dtype)
        return axis, np.clip(steps, limits.min, limits.max).astype(zero_point.dtype)

    def _set_axis_(self, node: Any, axis: int) -> None:
        from onnx import helper

        per_channel = bool(self.constants[node.input[1]].dims) and self.constants[node.input[1]].dims[0] > 1
        del node.attribute[:]
        if per_channel:
            node.attribute.append(helper.make_attribute("axis", axis))

    def name_product_(self, node: Any) -> None:
        """Name a product of rounded activations after its attention, so that it is found after optimization."""
        maker = next((each for each in self.nodes if node.input[0] in each.output), None)
        scope, _, factor = ("" if maker is None else maker.name).partition(_PRODUCTS)
        product = _FIRST_FACTORS.get(factor.partition("/")[0])
        if product is not None:
            node.name = f"{_module_of(scope)}.{product}"
            self.stored[node.name] = None

    def merge_equal_(self, kind: str) -> None:
        """Keep one of the nodes of a kind that compute the same."""
        first: dict[tuple[Any, ...], Any] = {}
        for node in self.of_kind(kind):
            same = first.setdefault(self._identity(node), node)
            if same is not node:
                self.nodes.remove(node)
                self._rename_(node.output[0], same.output[0])

    def _identity(self, node: Any) -> tuple[Any, ...]:
        inputs = (self.constants.get(name, name) for name in node.input)
        named = (each if isinstance(each, str) else (each.data_type, *each.dims, _bytes(each)) for each in inputs)
        return (*named, *(each.SerializeToString() for each in node.attribute))

    def _readers(self, name: str) -> list[Any]:
        return [node for node in self.nodes if name in node.input]

    def _rename_(self, old: str, new: str) -> None:
        for node in self._readers(old):
            for place, name in enumerate(node.input):
                if name == old:
                    node.input[place] = new

    def _constant_(self, name: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def write_(self) -> None:
        """Put nodes and constants back, without what nothing reads."""
        alive = self._alive()
        read = {name for node in alive for name in node.input}
        kept = [self.constants[name] for name in self.constants if name in read and self.constants[name].name == name]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(alive)
        self.graph.initializer.extend(kept)
        del self.graph.value_info[:]  # shapes of old

    def _alive(self) -> list[Any]:
        read = {output.name for output in self.graph.output}
        alive: list[Any] = []
        for node in reversed(self.nodes):
            if read & set(node.output):
                alive.append(node)
                read |= set(node.input)
        return [type(node).FromString(node.SerializeToString()) for node in reversed(alive)]


def _bytes(tensor: Any) -> bytes:
    from onnx.numpy_helper import to_array

    data: bytes = to_array(tensor).tobytes()
    return data


def _module_of(scope: str) -> str:
    """`/a/layers/layers.0/b`, as the exporter names what a Sequential `layers` computes, to `a.layers.0.b`."""
    parts = scope.strip("/").split("/")
    following = [*parts[1:], ""]
    return ".".join(part for part, after in zip(parts, following, strict=True) if not after.startswith(f"{part}."))
