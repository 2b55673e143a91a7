"""A graph as a quantizer wants it: weights where it looks for them, and a name for every node."""

from __future__ import annotations

from collections import Counter
from typing import Any


def store_constants_(model: Any) -> None:
    """Store every constant under the name by which nodes read it, so that a quantizer sees which inputs are weights.

    The exporter stores equal weights once and gives the others as an `Identity` of the stored one; other tools write
    matrices as `Constant` nodes. Optimum would take either for an activation.

    Args:
        model: an `onnx.ModelProto` with its weights; changed in place. Its outputs stay as they are.
    """
    graph = model.graph
    outputs = {output.name for output in graph.output}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:  # in topological order
        name = node.output[0]
        if node.op_type == "Constant" and len(node.attribute[0].t.dims) > 1 and name not in outputs:
            graph.initializer.append(node.attribute[0].t)
        elif node.op_type == "Identity" and node.input[0] in stored and name not in outputs:
            graph.initializer.append(stored[node.input[0]])
        else:
            kept.append(node)
            continue
        graph.initializer[-1].name = name
        stored[name] = graph.initializer[-1]
    del graph.node[:]
    graph.node.extend(kept)


def separate_biases_(model: Any) -> None:
    """Give every Conv and Gemm a bias that no other node reads, since as int32 it has the scale of its own product."""
    readers = Counter(name for node in model.graph.node for name in node.input)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm") and len(node.input) > 2 and node.input[2] in stored:
            bias = node.input[2]
            if readers[bias] > 1:
                model.graph.initializer.append(stored[bias])
                node.input[2] = model.graph.initializer[-1].name = f"{node.output[0]}_bias"


def name_nodes_(model: Any) -> None:
    """Give a name to every node without one, and to all but the first that share one: quantizers choose by name."""
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.name or node.op_type}_{index}"
        seen.add(node.name)
