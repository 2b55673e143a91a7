"""A graph cut at some of its nodes into segments that ONNX Runtime runs one after another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Segment:
    """Nodes that run together, and the cut nodes that run after them.

    Attributes:
        nodes: in topological order.
        cuts: the nodes that need nothing but this segment and those before it.
        inputs: what `nodes` take from outside, constants excluded.
        outputs: what others take of `nodes`.
    """

    nodes: list[Any] = field(default_factory=list)
    cuts: list[Any] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    _session: Any = field(default=None, repr=False)

    def run(self, model: Any, values: Mapping[str, np.ndarray], options: Any) -> dict[str, np.ndarray]:
        """Its outputs. The session is made by the first call, which tells the types of the inputs."""
        if not self.outputs:
            return {}
        if self._session is None:
            self._session = self._open(model, values, options)
        given = {name: values[name] for name in self.inputs}
        return dict(zip(self.outputs, self._session.run(self.outputs, given), strict=True))

    def _open(self, model: Any, values: Mapping[str, np.ndarray], options: Any) -> Any:
        import onnx
        import onnxruntime

        helper = onnx.helper
        types = {name: helper.np_dtype_to_tensor_dtype(values[name].dtype) for name in self.inputs}
        taken = {name for node in self.nodes for name in names_of(node)}
        graph = helper.make_graph(
            self.nodes,
            "segment",
            [helper.make_tensor_value_info(name, kind, None) for name, kind in types.items()],
            [onnx.ValueInfoProto(name=name) for name in self.outputs],  # ONNX Runtime finds the types
            [tensor for tensor in model.graph.initializer if tensor.name in taken],
        )
        made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        return onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])


def cut(graph: Any, at: Collection[str]) -> list[Segment]:
    """Cut a graph at the nodes of which `at` holds the first output.

    A node runs in the earliest segment in which all that it takes is known: a segment after the cut nodes that it
    depends on, and no later.
    """
    constants = {tensor.name for tensor in graph.initializer}
    known = dict.fromkeys((value.name for value in graph.input), 0)
    segments: list[Segment] = []
    for node in graph.node:
        level = max((known.get(name, 0) for name in names_of(node)), default=0)
        segments += [Segment() for _ in range(level + 1 - len(segments))]
        is_cut = node.output[0] in at
        (segments[level].cuts if is_cut else segments[level].nodes).append(node)
        known.update(dict.fromkeys(node.output, level + is_cut))
    _connect_(segments, constants, {value.name for value in graph.output})
    return segments


def _connect_(segments: list[Segment], constants: set[str], answers: set[str]) -> None:
    users: dict[str, set[int]] = {name: {-1} for name in answers}
    for place, segment in enumerate(segments):
        for nodes, user in ((segment.nodes, place), (segment.cuts, -1)):
            for node in nodes:
                for name in names_of(node):
                    users.setdefault(name, set()).add(user)
    for place, segment in enumerate(segments):
        made = dict.fromkeys(name for node in segment.nodes for name in node.output if name)
        taken = dict.fromkeys(name for node in segment.nodes for name in names_of(node))
        segment.inputs = [name for name in taken if name not in made and name not in constants]
        segment.outputs = [name for name in made if users.get(name, set()) - {place}]


def names_of(node: Any) -> Iterator[str]:
    """What a node takes from its graph, through the bodies of an `If` or a `Loop` as well."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            taken = [name for inner in body.node for name in names_of(inner)] + [value.name for value in body.output]
            own = {name for inner in body.node for name in inner.output}
            own |= {value.name for value in (*body.input, *body.initializer)}
            yield from (name for name in taken if name not in own)
