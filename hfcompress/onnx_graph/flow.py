"""How tensors flow through a graph: who makes each, and who reads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

#: Operators that move values and change none: what they give is what they took.
MOVING = frozenset(
    {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Expand", "ReorderInput", "ReorderOutput"}
)


class Flow:
    """The nodes of a graph, and how tensors go from one to the next; subgraphs are not entered.

    Args:
        graph: an `onnx.GraphProto`; its weights need not be there.

    Attributes:
        nodes: in the order of the graph.
    """

    def __init__(self, graph: Any) -> None:
        self.nodes: list[Any] = list(graph.node)
        self._constants = {tensor.name for tensor in graph.initializer}
        self._constants |= {node.output[0] for node in self.nodes if node.op_type == "Constant"}
        self._makers = {name: node for node in self.nodes for name in node.output if name}
        self._readers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self._readers[name].append(node)

    def is_constant(self, tensor: str) -> bool:
        """Whether a tensor is a weight: an initializer or a `Constant`."""
        return tensor in self._constants

    def maker(self, tensor: str) -> Any | None:
        """The node that computes a tensor; None for weights and inputs of the graph."""
        return None if self.is_constant(tensor) else self._makers.get(tensor)

    def readers(self, tensor: str) -> list[Any]:
        """The nodes that read a tensor, each once."""
        return self._readers.get(tensor, [])

    def origin(self, tensor: str) -> str:
        """The tensor that holds the same values before any operator of `MOVING`."""
        while (node := self.maker(tensor)) is not None and node.op_type in MOVING:
            tensor = node.input[0]
        return tensor

    def destinations(self, tensor: str, through: frozenset[str] = MOVING) -> Iterator[Any]:
        """The nodes that read a tensor, itself or moved by operators of `through`; a node may come twice."""
        for node in self.readers(tensor):
            if node.op_type in through:
                for name in node.output:
                    yield from self.destinations(name, through)
            else:
                yield node
