"""A float graph with its quantized layers beside the float ones, on the same inputs: the error of each, in one pass.

In the quantized model a layer's output is wrong by its own rounding and by that of all layers before it. Here every
quantized layer reads the float model's activations, so that its error is its own. ONNX's quantizers keep the names of
float tensors, and so each layer is what lies in the quantized graph between two tensors that the float graph has too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_INT8 = (2, 3)  # TensorProto.UINT8 and INT8
_INTEGER_PRODUCTS = frozenset({"MatMulInteger", "QLinearMatMul"})
#: Before the names of what comes from the quantized graph.
_PREFIX = "int8::"


@dataclass(frozen=True)
class _Layer:
    """A node of the float graph, and the nodes that compute its output in the quantized graph, in their order."""

    name: str
    output: str
    nodes: tuple[Any, ...]


def quantized_layers(source: Path, quantized: Path) -> list[str]:
    """Names of the nodes of the float graph that multiply or look up integers in the quantized one, in their order.

    Those are the nodes with a weight that became INT8, and products of two activations that did.

    Args:
        source: the float graph.
        quantized: what a quantizer of ONNX Runtime made of it: dynamic, or with Q/DQ.
    """
    import onnx

    graphs = (onnx.load(path, load_external_data=False) for path in (source, quantized))
    return [layer.name for layer in _layers(*graphs)]


def write_side_by_side(source: Path, quantized: Path, path: Path) -> list[str]:
    """Write a graph with the float graph's inputs whose outputs are two sums of squares a layer.

    Output `error/<layer>` is the sum over its elements of (quantized output - float output)^2, and `power/<layer>` that
    of float output^2, both () float32: whatever a layer's outputs take, none of them leaves the graph. Sums go over
    padding too.

    Args:
        source, quantized: see `quantized_layers`.
        path: a new file, in a folder of its own; weights go beside it.

    Returns:
        The layers.
    """
    import onnx

    ours, theirs = onnx.load(source), onnx.load(quantized)
    layers = _layers(ours, theirs)
    known, used = _activations(ours.graph), dict.fromkeys(_used(layers))
    graph = ours.graph
    del graph.output[:], graph.value_info[:]
    for tensor in theirs.graph.initializer:
        if tensor.name in used:
            tensor.name = _PREFIX + tensor.name
            graph.initializer.append(tensor)
    added = {}  # layers may share nodes: one quantized input for query, key and value
    for layer in layers:
        for node in layer.nodes:
            added[node.output[0]] = _moved(node, known)
    graph.node.extend(added.values())
    for layer in layers:
        _measure_(graph, layer)
    _take_versions_(ours, theirs)
    onnx.save(ours, path, save_as_external_data=True, location=f"{path.name}.data")
    return [layer.name for layer in layers]


def _layers(source: Any, quantized: Any) -> list[_Layer]:
    known = _activations(source.graph)
    order = {node.output[0]: place for place, node in enumerate(quantized.graph.node)}
    makers = {name: node for node in quantized.graph.node for name in node.output}
    weights = {
        tensor.name
        for tensor in quantized.graph.initializer
        if tensor.data_type in _INT8 and len(tensor.dims) > 1  # zero points have one dimension at most
    }
    found = []
    for node in source.graph.node:
        nodes = sorted(_between(node.output[0], makers, known), key=lambda made: order[made.output[0]])
        if node.name and _is_quantized(nodes, weights):
            found.append(_Layer(node.name, node.output[0], tuple(nodes)))
    return found


def _activations(graph: Any) -> set[str]:
    """Tensors of a graph that are no weights."""
    weights = {tensor.name for tensor in graph.initializer}
    made = {name for node in graph.node for name in node.output}
    return made | {value.name for value in graph.input} - weights


def _between(output: str, makers: dict[str, Any], known: set[str]) -> list[Any]:
    """The nodes that make `output` from tensors that are known."""
    nodes: dict[str, Any] = {}
    waiting = [output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.output[0] in nodes:
            continue
        nodes[node.output[0]] = node
        waiting += [name for name in node.input if name and name not in known]
    return list(nodes.values())


def _is_quantized(nodes: Sequence[Any], weights: set[str]) -> bool:
    if any(name in weights for node in nodes for name in node.input):
        return True
    kinds = [node.op_type for node in nodes]
    return bool(_INTEGER_PRODUCTS & set(kinds)) or ("MatMul" in kinds and kinds.count("DequantizeLinear") > 1)


def _used(layers: Sequence[_Layer]) -> Iterator[str]:
    for layer in layers:
        for node in layer.nodes:
            yield from node.input


def _moved(node: Any, known: set[str]) -> Any:
    """A node of the quantized graph under names of its own, reading what the float graph has from there."""
    import onnx

    moved = onnx.NodeProto()
    moved.CopyFrom(node)
    moved.name = _PREFIX + node.name
    moved.input[:] = [name if name in known or not name else _PREFIX + name for name in node.input]
    moved.output[:] = [_PREFIX + name for name in node.output]
    return moved


def _measure_(graph: Any, layer: _Layer) -> None:
    from onnx import TensorProto, helper

    apart = f"apart/{layer.name}"
    graph.node.append(helper.make_node("Sub", [_PREFIX + layer.output, layer.output], [apart]))
    for kind, tensor in (("error", apart), ("power", layer.output)):
        name = f"{kind}/{layer.name}"
        graph.node.append(helper.make_node("ReduceSumSquare", [tensor], [name], keepdims=0))
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, []))


def _take_versions_(model: Any, other: Any) -> None:
    """What the quantized graph's nodes need: its operator sets and format."""
    model.ir_version = max(model.ir_version, other.ir_version)
    versions = {known.domain: known for known in model.opset_import}
    for needed in other.opset_import:
        if needed.domain not in versions:
            model.opset_import.append(needed)
        elif needed.version > versions[needed.domain].version:
            versions[needed.domain].version = needed.version
