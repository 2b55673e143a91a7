"""Rules about where Q/DQ stand: NVIDIA's recommendations for a fast engine, and what none should stand at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hfcompress.onnx_graph.lint.dequantized import is_dequantizable
from hfcompress.onnx_graph.lint.findings import Fault, Linted
from hfcompress.onnx_graph.lint.graph import DEQUANTIZE, QUANTIZE, QdqGraph

#: Operators that need the precision of floating point; TensorRT has no INT8 kernels of them.
_FLOAT = frozenset({"Softmax", "LogSoftmax", "LayerNormalization", "GroupNormalization", "RMSNormalization"})
_FLOAT |= {"InstanceNormalization"}


def biases(linted: Linted) -> Iterator[Fault]:
    """Q/DQ on what is added to a product's channels."""
    for name, (product, node) in linted.graph.biases.items():
        what = f"its bias {name} is dequantized from integers"
        yield Fault(linted.graph.name_of(product.node), what, node, is_dequantizable(linted.graph, node))


def half_quantized(linted: Linted) -> Iterator[Fault]:
    """Products of which one factor is quantized, and the other is not: they compute in floating point."""
    graph = linted.graph
    for product in graph.products():
        first, other = (graph.dequantizer_of(name) for name in (product.activation, product.other))
        if (first is None) != (other is None):
            what = "other factor" if product.channels is None else "weight"
            left = "input" if first is None else what
            yield Fault(graph.name_of(product.node), f"its {left} is not quantized, and the rest is", product.node)


def float_operators(linted: Linted) -> Iterator[Fault]:
    """Softmax and normalizations that read rounded values."""
    graph = linted.graph
    for node in graph.of_kind(DEQUANTIZE):
        quantize = graph.quantizer_of(node)
        beside = quantize is not None and quantize.output[0] == node.input[0]
        for reader in reads_as_float(graph, node) if quantize is not None else ():
            kind = "a normalization" if reader.op_type in ("ReduceMean", "Sub") else reader.op_type
            yield linted.at(node, f"{kind} ({graph.name_of(reader)}) reads rounded values", beside)


def reads_as_float(graph: QdqGraph, dequantize: Any) -> list[Any]:
    """What reads a DQ and should not: softmax, normalizations, and both readers of a LayerNorm that is written out."""
    tensor = dequantize.output[0]
    readers = [reader for reader, _ in graph.readers[tensor]]
    means = {reader.output[0] for reader in readers if reader.op_type == "ReduceMean"}
    centred = [reader for reader in readers if reader.op_type == "Sub" and means & set(reader.input)]
    used = {name for reader in centred for name in reader.input}
    return [
        reader
        for reader in readers
        if (reader.op_type in _FLOAT and reader.input[0] == tensor)
        or (reader.op_type == "ReduceMean" and reader.output[0] in used)
    ] + centred


def repeated_pairs(linted: Linted) -> Iterator[Fault]:
    """Values that are rounded, and at once rounded again."""
    graph = linted.graph
    for node in graph.of_kind(QUANTIZE):
        before = graph.makers.get(node.input[0])
        if before is not None and before.op_type == DEQUANTIZE:
            same = graph.same_parameters(before, node)
            what = f"rounds what {graph.name_of(before)} has rounded{'' if same else ', with another scale or type'}"
            yield linted.at(node, what, same and _is_left_out(graph, node))


def _is_left_out(graph: QdqGraph, quantize: Any) -> bool:
    """Whether its readers can do without: they are DQ by its own scale, whose readers can read something else."""
    readers = graph.readers[quantize.output[0]]
    return graph.can_be_renamed(quantize.output[0]) and all(
        reader.op_type == DEQUANTIZE
        and graph.same_parameters(quantize, reader)
        and graph.can_be_renamed(reader.output[0])
        for reader, _ in readers
    )


def stored_integers(linted: Linted) -> Iterator[Fault]:
    """Weights that are integers in the file; FP8 and FP4 are none."""
    from onnx import TensorProto

    graph = linted.graph
    for product in graph.products():
        node = (graph.weight_dequantizer(product) or (None,))[0]
        if node is None or graph.quantizer_of(node) is not None:
            continue
        if not TensorProto.DataType.Name(graph.integers_of(node)).startswith("FLOAT"):
            what = f"its weight {node.input[0]} is stored as integers"
            yield Fault(graph.name_of(product.node), what, node, is_dequantizable(graph, node))


def residuals(linted: Linted) -> Iterator[Fault]:
    """Sums with a quantized convolution whose other summand is in floating point: the sum cannot be fused into it."""
    graph = linted.graph
    for node in graph.of_kind("Add"):
        if any(graph.is_known(name) for name in node.input):
            continue
        of_convolution = [_is_quantized_convolution(graph, name) for name in node.input]
        if any(of_convolution) and not any(graph.dequantizer_of(name) is not None for name in node.input):
            raw = node.input[of_convolution.index(False)] if False in of_convolution else node.input[1]
            yield linted.at(node, f"adds {raw} in floating point to a quantized convolution")


def _is_quantized_convolution(graph: QdqGraph, tensor: str) -> bool:
    node = graph.makers.get(tensor)
    while node is not None and node.op_type in ("BatchNormalization", "Identity"):
        node = graph.makers.get(node.input[0])
    return node is not None and node.op_type == "Conv" and graph.dequantizer_of(node.input[0]) is not None
