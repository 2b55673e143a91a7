"""Do not compute what nobody reads: the last layer for the first token alone.

Most classifiers read the first token ([CLS]) of the last layer and no other. An exported graph still computes that
layer's queries, attention output and feed-forward network for every token, and then throws all but one away. This
rewrite moves the selection of the first token up the graph as far as it gives the same result. It is exact: only rows
that nobody reads are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Operators that treat every element on its own, with broadcasting.
_POINTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Erf", "Tanh", "Sigmoid", "Relu", "Gelu", "Cast"})
#: The same for a tensor with one scale.
_ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
#: Operators that work along their last axis only.
_LAST_AXIS = frozenset({"LayerNormalization", "Softmax"})


@dataclass(frozen=True)
class Use:
    """One place where a tensor is read: a node (by its index) and the position among its inputs."""

    node: int
    place: int


def first_token_only_(model: Any) -> int:
    """Rewrite an ONNX model in place.

    The model's weights have to be in it (no external data), its nodes in topological order, as ONNX demands.

    Args:
        model: an `onnx.ModelProto`.

    Returns:
        How many nodes now work on the first token alone; 0 means that the model is as it was.
    """
    rewrite = _Rewrite(model)
    moved = rewrite.push_up()
    if moved:
        rewrite.write_()
    return moved


class _Rewrite:
    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper, shape_inference

        self.graph = model.graph
        inferred = shape_inference.infer_shapes(model).graph
        self.nodes = list(self.graph.node)
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        self.values = {
            name: numpy_helper.to_array(tensor) for name, tensor in self.constants.items() if np.prod(tensor.dims) < 64
        }
        self.ranks = {name: len(tensor.dims) for name, tensor in self.constants.items()}
        for info in [*inferred.value_info, *inferred.input, *inferred.output]:
            if info.type.tensor_type.HasField("shape"):
                self.ranks[info.name] = len(info.type.tensor_type.shape.dim)
        self.maker = {name: index for index, node in enumerate(self.nodes) for name in node.output}
        self.uses: dict[str, list[Use]] = defaultdict(list)
        for index, node in enumerate(self.nodes):
            for place, name in enumerate(node.input):
                self.uses[name].append(Use(index, place))
        self.kept = {output.name for output in self.graph.output}
        #: reader -> the axis of which it reads index 0 alone
        self.wanted: dict[Use, int] = {}
        self.shapes: dict[int, list[int]] = {}
        #: (tensor, axis) -> the readers that get a slice of it
        self.slices: dict[tuple[str, int], list[Use]] = defaultdict(list)

    def push_up(self) -> int:
        """Walk from the outputs to the inputs; returns how many nodes take a demand further up."""
        for index, node in enumerate(self.nodes):
            if self._selects_first(node):
                self.wanted[Use(index, 0)] = 1
        return sum(self._visit(index) for index in reversed(range(len(self.nodes))))

    def _selects_first(self, node: Any) -> bool:
        chosen = self.values.get(node.input[1]) if node.op_type == "Gather" else None
        return (
            chosen is not None
            and chosen.ndim == 0
            and int(chosen) == 0
            and _attribute(node, "axis", 0) == 1
            and self.ranks.get(node.input[0]) == 3
        )

    def _visit(self, index: int) -> bool:
        node = self.nodes[index]
        if len(node.output) != 1 or node.op_type == "Constant":
            return False
        output = node.output[0]
        readers = [use for use in self.uses[output] if not self._reads_last_size(use)]
        axes = {self.wanted.get(use) for use in readers}
        if not readers or axes == {None}:
            return False
        if len(axes) == 1 and output not in self.kept:
            axis = axes.pop()
            inputs = None if axis is None else self._axes_of_inputs(index, axis)
            if inputs is not None:
                self.wanted.update({Use(index, place): wanted for place, wanted in inputs.items()})
                return True
        for use in readers:
            wanted = self.wanted.get(use)
            if wanted is not None and not self._selects_first(self.nodes[use.node]):
                self.slices[output, wanted].append(use)
        return False

    def _reads_last_size(self, use: Use) -> bool:
        """A `Shape` of which only the last size is read does not care how many tokens there are."""
        if self.nodes[use.node].op_type != "Shape":
            return False
        readers = [self.nodes[reader.node] for reader in self.uses[self.nodes[use.node].output[0]]]
        return all(
            (node.op_type == "Slice" and self.values.get(node.input[1], np.array([0])).tolist() == [-1])
            or (node.op_type == "Gather" and self.values.get(node.input[1], np.array(0)).tolist() in (-1, [-1]))
            for node in readers
        )

    def _axes_of_inputs(self, index: int, axis: int) -> dict[int, int] | None:
        """Input place -> axis: index 0 of the output along `axis` follows from index 0 of these inputs. None: it does
        not."""
        node = self.nodes[index]
        rank = self.ranks.get(node.output[0])
        if rank is None or any(name and name not in self.ranks for name in node.input):
            return None
        if node.op_type in _POINTWISE:
            return self._pointwise(node, axis, rank)
        if node.op_type in _ROUNDING:
            return {0: axis} if self.ranks[node.input[1]] == 0 else None
        if node.op_type in _LAST_AXIS:
            return {0: axis} if _attribute(node, "axis", -1) in (-1, rank - 1) and axis < rank - 1 else None
        if node.op_type == "MatMul":
            rows_only = axis == rank - 2 and self.ranks[node.input[0]] == rank
            return {0: axis} if rows_only or (axis < rank - 2 and self.ranks[node.input[1]] == 2) else None
        if node.op_type == "Transpose":
            return {0: list(_attribute(node, "perm", range(rank - 1, -1, -1)))[axis]}
        return self._reshape(index, node, axis) if node.op_type == "Reshape" else None

    def _pointwise(self, node: Any, axis: int, rank: int) -> dict[int, int] | None:
        axes: dict[int, int] = {}
        for place, name in enumerate(node.input):
            own = axis - (rank - self.ranks[name])
            if own < 0:
                continue
            if name not in self.constants:
                axes[place] = own
            elif self.constants[name].dims[own] != 1:
                return None
        return axes

    def _reshape(self, index: int, node: Any, axis: int) -> dict[int, int] | None:
        """Splitting or joining heads behind the token axis: (rows, tokens, ...) to (rows, tokens, ...)."""
        if axis != 1 or self.ranks[node.input[0]] < 3 or _attribute(node, "allowzero", 0):
            return None
        sizes = self._sizes_behind_tokens(node.input[1])
        if sizes is None:
            return None
        self.shapes[index] = [0, 1, *sizes]
        return {0: 1}

    def _sizes_behind_tokens(self, shape: str) -> list[int] | None:
        if shape in self.values:
            return [int(size) for size in self.values[shape][2:]]
        maker = self.maker.get(shape)
        if maker is None or self.nodes[maker].op_type != "Concat":
            return None
        behind = [self.values.get(name) for name in self.nodes[maker].input[2:]]
        sizes = [int(value.item()) for value in behind if value is not None and value.size == 1]
        return sizes if sizes and len(sizes) == len(behind) else None

    def write_(self) -> None:
        """Put the slices and shapes into the graph, and drop what nothing reads any more."""
        for index, shape in self.shapes.items():
            name = f"{self.nodes[index].output[0]}_first_token_shape"
            self._add_constant_(name, shape)
            self.nodes[index].input[1] = name
        after: dict[str, list[Any]] = defaultdict(list)
        for (tensor, axis), readers in self.slices.items():
            made = self._sliced(tensor, axis)
            after[tensor] += made
            for use in readers:
                self.nodes[use.node].input[use.place] = made[-1].output[0]
        ordered = [each for node in self.nodes for each in (node, *(s for name in node.output for s in after[name]))]
        alive = list(self._alive(ordered))
        del self.graph.node[:]
        self.graph.node.extend(alive)
        del self.graph.value_info[:]  # shapes of old

    def _sliced(self, tensor: str, axis: int) -> list[Any]:
        """The nodes that give a slice of a tensor. Integers are cut before they are dequantized, so that the product
        behind still sees where they come from."""
        maker = self.nodes[self.maker[tensor]] if tensor in self.maker else None
        if maker is None or maker.op_type != "DequantizeLinear" or self.ranks.get(maker.input[1]) != 0:
            return [self._slice(tensor, axis)]
        cut = self._slice(maker.input[0], axis, tensor)
        again = type(maker).FromString(maker.SerializeToString())
        again.input[0] = cut.output[0]
        again.name = again.output[0] = f"{cut.name}_dequantized"
        return [cut, again]

    def _slice(self, tensor: str, axis: int, named_after: str | None = None) -> Any:
        from onnx import helper

        name = f"{named_after or tensor}_first_token_{axis}"
        for part, value in (("starts", 0), ("ends", 1), ("axes", axis)):
            self._add_constant_(f"{name}_{part}", [value])
        inputs = [tensor, *(f"{name}_{part}" for part in ("starts", "ends", "axes"))]
        return helper.make_node("Slice", inputs, [name], name=name)

    def _add_constant_(self, name: str, values: list[int]) -> None:
        from onnx import numpy_helper

        self.graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))

    def _alive(self, nodes: list[Any]) -> Iterator[Any]:
        read = set(self.kept)
        alive: set[int] = set()
        for place in reversed(range(len(nodes))):
            if read & set(nodes[place].output):
                alive.add(place)
                read |= set(nodes[place].input)
        return (type(node).FromString(node.SerializeToString()) for place, node in enumerate(nodes) if place in alive)


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)
