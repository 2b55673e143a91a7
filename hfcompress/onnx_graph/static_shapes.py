"""Compute no sizes at run time that are known before: what an exporter's tracer could not see.

A traced graph asks each tensor for its sizes and puts the shapes of the attention heads together from them, some
twenty operators a layer. They cost little each, and a call of one short row is short too. Most of those sizes are fixed
(heads, channels), and the others stay where they are: a `Reshape` to (rows, -1, heads, channels) is one to the constant
(0, -1, heads, channels), where 0 keeps a size.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from hfcompress.onnx_graph.wiring import attribute

#: Elements of the largest constant that is computed here: sizes, and scales made of them.
_SMALL = 64
#: What makes shapes and scales of sizes. Others keep their constants: INT8 is recognized by them.
_OF_SIZES = frozenset(
    {"Gather", "Slice", "Concat", "Squeeze", "Unsqueeze", "Cast", "Add", "Sub", "Mul", "Div", "Sqrt", "Equal", "Where"}
)
#: A size: a number, or the name of one that is not fixed.
_Size = int | str | None


def fix_shapes_(model: Any) -> int:
    """Rewrite an ONNX model in place; what it computes stays what it is.

    The model's weights have to be in it (no external data), its nodes in topological order, as ONNX demands.

    Args:
        model: an `onnx.ModelProto`.

    Returns:
        How many nodes are gone; 0 means that the model is as it was.
    """
    before = len(model.graph.node)
    known = _Known(model)
    found = {name: value for node in model.graph.node for name, value in known.computed(node)}
    shapes = {node.output[0]: shape for node in model.graph.node if (shape := known.target_of(node)) is not None}
    if not found and not shapes:
        return 0
    _store_(model.graph, found, shapes)
    _drop_unread_(model.graph)
    return before - len(model.graph.node)


class _Known:
    """What is known of a graph before it runs."""

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper, shape_inference

        self.sizes = dict(_sizes(shape_inference.infer_shapes(model, data_prop=True).graph))
        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        stored |= {
            node.output[0]: node.attribute[0].t
            for node in model.graph.node
            if node.op_type == "Constant" and node.attribute[0].name == "value"
        }
        self.values = {
            name: numpy_helper.to_array(tensor) for name, tensor in stored.items() if np.prod(tensor.dims) <= _SMALL
        }
        self.makers = {name: node for node in model.graph.node for name in node.output}

    def computed(self, node: Any) -> Iterator[tuple[str, np.ndarray]]:
        """The outputs of a node that are constants after all. Asked in the order of the graph."""
        if node.op_type not in _OF_SIZES:
            return
        value = self._fixed_sizes(node) if node.op_type in ("Gather", "Slice") else None
        if value is None and all(name in self.values for name in node.input if name):
            value = _evaluated(node, [self.values[name] if name else None for name in node.input])
        if value is not None and value.size <= _SMALL:
            self.values[node.output[0]] = value
            yield node.output[0], value

    def _fixed_sizes(self, node: Any) -> np.ndarray | None:
        """What a Gather or Slice takes of a `Shape`, where these sizes are fixed."""
        asked = self.makers.get(node.input[0])
        if asked is None or asked.op_type != "Shape" or asked.attribute or asked.input[0] not in self.sizes:
            return None
        if not all(name in self.values for name in node.input[1:] if name):
            return None
        sizes = self.sizes[asked.input[0]]
        # Which of the sizes it takes: what it gives for their places.
        places = _evaluated(node, [np.arange(len(sizes)), *(self.values.get(name) for name in node.input[1:])])
        taken = [sizes[int(place)] for place in places.reshape(-1)]
        if not all(isinstance(size, int) for size in taken):
            return None
        return np.array(taken, dtype=np.int64).reshape(places.shape)

    def target_of(self, node: Any) -> list[int] | None:
        """The constant shape of a `Reshape` whose shape is computed. None: it is a constant, or is not known."""
        if node.op_type != "Reshape" or attribute(node, "allowzero", 0) or node.input[1] in self.values:
            return None
        before, after = (self.sizes.get(name) for name in (node.input[0], node.output[0]))
        if before is None or after is None:
            return None
        if 0 in after:
            return None
        if _joins_last_axes(before, after):
            return [*(0 for _ in after[:-1]), int(after[-1] or 0)]
        target = [_kept_or_fixed(size, before[axis : axis + 1]) for axis, size in enumerate(after)]
        return target if target.count(-1) <= 1 else None  # one size follows from the number of elements


def _joins_last_axes(before: tuple[_Size, ...], after: tuple[_Size, ...]) -> bool:
    """Whether axes of fixed sizes became one, the last: heads that are joined. The other axes then stay, in every
    model that we know: a graph whose sizes are not inferred does not prove it, and the proof of the export does."""
    joined = [size for size in before[len(after) - 1 :] if isinstance(size, int)]
    fixed = len(joined) == len(before) - len(after) + 1 > 1
    return fixed and isinstance(after[-1], int) and prod(joined) == after[-1]


def _kept_or_fixed(size: _Size, before: tuple[_Size, ...]) -> int:
    if isinstance(size, int):
        return size
    return 0 if size is not None and before == (size,) else -1


def _evaluated(node: Any, inputs: list[np.ndarray | None]) -> np.ndarray:
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    names = [name if value is not None else "" for name, value in zip(node.input, inputs, strict=True)]
    given = {name: value for name, value in zip(names, inputs, strict=True) if name}
    alone = type(node).FromString(node.SerializeToString())
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in given.items()
        if value is not None
    ]
    output = helper.make_empty_tensor_value_info(node.output[0])
    graph = helper.make_graph([alone], "one", infos, [output])
    evaluator = ReferenceEvaluator(helper.make_model(graph))
    return np.asarray(evaluator.run(None, given)[0])


def _sizes(graph: Any) -> Iterator[tuple[str, tuple[_Size, ...]]]:
    for info in [*graph.value_info, *graph.input, *graph.output]:
        if info.type.tensor_type.HasField("shape"):
            yield info.name, tuple(_size(each) for each in info.type.tensor_type.shape.dim)


def _size(dimension: Any) -> _Size:
    if dimension.HasField("dim_value"):
        return int(dimension.dim_value)
    return str(dimension.dim_param) if dimension.HasField("dim_param") else None


def _store_(graph: Any, found: dict[str, np.ndarray], shapes: dict[str, list[int]]) -> None:
    from onnx import numpy_helper

    for node in graph.node:
        if node.output[0] in shapes:
            node.input[1] = f"{node.output[0]}_shape"
            graph.initializer.append(numpy_helper.from_array(np.array(shapes[node.output[0]], np.int64), node.input[1]))
    for name, value in found.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    kept = [node for node in graph.node if node.output[0] not in found]
    del graph.node[:]
    graph.node.extend(kept)


def _drop_unread_(graph: Any) -> None:
    """Drop nodes and stored constants that nothing reads any more."""
    read = {output.name for output in graph.output}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if read.isdisjoint(node.output):
            del graph.node[index]
        else:
            read.update(node.input)
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in read:
            del graph.initializer[index]
