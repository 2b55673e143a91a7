"""Who makes a tensor, who reads it, what it holds: one view of a graph for rewrites that change its constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

#: Sizes of a tensor; None where a size is not fixed.
Shape = tuple[int | None, ...]


class Wiring:
    """A graph whose weights are in it (no external data), its nodes in topological order, as ONNX demands.

    Args:
        model: an `onnx.ModelProto`; methods that end in `_` change it.

    Attributes:
        nodes: all nodes; constants' too.
        makers: tensor -> the node that makes it.
        readers: tensor -> (node, place among its inputs) of each that reads it; place -1 in a subgraph.
        shapes: tensor -> its sizes, where its rank is known.
        types: tensor -> the type of its elements, of `onnx.TensorProto.DataType`, where it is known.
        outputs: names of the graph's outputs.
    """

    def __init__(self, model: Any) -> None:
        from onnx import shape_inference

        self.graph = model.graph
        self.nodes = list(self.graph.node)
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[tuple[Any, int]]] = defaultdict(list)
        for node in self.nodes:
            for place, name in enumerate(node.input):
                self.readers[name].append((node, place))
            for name in _read_in_subgraphs(node):
                self.readers[name].append((node, -1))
        self.outputs = {output.name for output in self.graph.output}
        self._constants = {tensor.name: tensor for tensor in self.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t
        # With data propagation, so that a shape put together from sizes and constants keeps the constants.
        inferred = shape_inference.infer_shapes(model, data_prop=True).graph
        infos = [*inferred.value_info, *inferred.input, *inferred.output]
        self.shapes = dict(_shapes(infos))
        self.shapes |= {name: tuple(tensor.dims) for name, tensor in self._constants.items()}
        self.types = {info.name: info.type.tensor_type.elem_type for info in infos}
        self.types |= {name: tensor.data_type for name, tensor in self._constants.items()}

    def constant(self, name: str) -> np.ndarray | None:
        """The values of a constant; the exporter gives equal ones as an `Identity` of one that is stored. None: it is
        none."""
        from onnx import numpy_helper

        tensor = self._constants.get(self._stored(name))
        return None if tensor is None else numpy_helper.to_array(tensor)

    def is_constant(self, name: str) -> bool:
        """Whether it is known before the graph runs."""
        return self._stored(name) in self._constants

    def shape(self, name: str) -> Shape:
        """The sizes of a tensor or constant; () where its rank is not known, as for a scalar."""
        return self.shapes.get(self._stored(name), self.shapes.get(name, ()))

    def is_read_once(self, name: str) -> bool:
        """Whether a stored constant has one reader, so that changing it needs no copy of it."""
        return len(list(self._all_readers(self._stored(name)))) == 1

    def replace_(self, node: Any, place: int, values: np.ndarray) -> None:
        """Give a node a constant of its own as an input; others that read the old one keep it."""
        from onnx import numpy_helper

        name = f"{node.output[0]}_constant_{place}"
        if name in self._constants:  # from an earlier change
            self._constants[name].CopyFrom(numpy_helper.from_array(values, name))
            return
        old = node.input[place]
        self.readers[old] = [(reader, at) for reader, at in self.readers[old] if reader is not node or at != place]
        self.readers[name].append((node, place))
        node.input[place] = name
        self.add_constant_(name, values)

    def add_constant_(self, name: str, values: np.ndarray) -> None:
        """Store a new constant."""
        from onnx import numpy_helper

        self.graph.initializer.append(numpy_helper.from_array(values, name))
        self._constants[name] = self.graph.initializer[-1]
        self.shapes[name] = values.shape

    def add_node_(self, before: Any, kind: str, inputs: list[str], output: str) -> None:
        """Put a node in front of another one."""
        from onnx import helper

        place = next(index for index, node in enumerate(self.graph.node) if node.output[0] == before.output[0])
        self.graph.node.insert(place, helper.make_node(kind, inputs, [output], name=output))

    def read_now(self) -> set[str]:
        """What is an output, or is read by a node, in a subgraph too, as the graph is by now."""
        read = self.outputs | {name for node in self.graph.node for name in node.input}
        return read | {name for node in self.graph.node for name in _read_in_subgraphs(node)}

    def drop_unread_constants_(self) -> None:
        """Drop the stored constants that no node reads any more."""
        read = self.read_now()
        for index in reversed(range(len(self.graph.initializer))):
            if self.graph.initializer[index].name not in read:
                del self.graph.initializer[index]

    def _stored(self, name: str) -> str:
        while name not in self._constants and name in self.makers and self.makers[name].op_type == "Identity":
            name = self.makers[name].input[0]
        return name

    def _all_readers(self, name: str) -> Iterator[tuple[Any, int]]:
        for node, place in self.readers[name]:
            if node.op_type == "Identity":
                yield from self._all_readers(node.output[0])
            else:
                yield node, place


def attribute(node: Any, name: str, default: Any) -> Any:
    """The value of a node's attribute."""
    from onnx import helper

    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)


def _read_in_subgraphs(node: Any) -> Iterator[str]:
    for each in node.attribute:
        for graph in [each.g] if each.HasField("g") else each.graphs:
            yield from (output.name for output in graph.output)
            for inner in graph.node:
                yield from inner.input
                yield from _read_in_subgraphs(inner)


def _shapes(infos: list[Any]) -> Iterator[tuple[str, Shape]]:
    for info in infos:
        if info.type.tensor_type.HasField("shape"):
            sizes = info.type.tensor_type.shape.dim
            yield info.name, tuple(size.dim_value if size.HasField("dim_value") else None for size in sizes)
