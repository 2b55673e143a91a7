"""What mends a fault mechanically: the graph's answers stay, but where a fix says otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from hfcompress.onnx_graph.lint.dequantized import dequantized
from hfcompress.onnx_graph.lint.graph import DEQUANTIZE, QUANTIZE, QdqGraph
from hfcompress.onnx_graph.lint.integers import MIDDLE
from hfcompress.onnx_graph.lint.placement import reads_as_float


def write_axis(graph: QdqGraph, node: Any) -> None:
    """Write the axis that ONNX means where none is named."""
    from onnx import helper

    node.attribute.append(helper.make_attribute("axis", 1))


def dequantize_first(graph: QdqGraph, node: Any) -> None:
    """Dequantize in front of what only moves integers, in place of behind it: the same numbers move."""
    dequantizers = [reader for reader, _ in graph.readers[node.output[0]]]
    name = f"{node.output[0]}_dequantized_first"
    graph.add_node_(node, DEQUANTIZE, [node.input[0], *dequantizers[0].input[1:]], name)
    node.input[0] = name
    for dequantize in dequantizers:
        for reader, _ in graph.readers[dequantize.output[0]]:
            _rename_(reader.input, dequantize.output[0], node.output[0])


def shift_to_signed(graph: QdqGraph, node: Any) -> None:
    """Make int8 with zero point 0 of uint8 with zero point 128: the same numbers."""
    group = [node, *(each for each in graph.of_kind(DEQUANTIZE) if graph.quantizer_of(each) is node)]
    for each in group:
        stored = graph.constant(each.input[0]) if each.op_type == DEQUANTIZE else None
        if stored is not None and stored.dtype == np.uint8:
            graph.replace_(each, 0, (stored.astype(np.int16) - MIDDLE).astype(np.int8))
        zero_point = graph.zero_point(each)
        if zero_point is not None:
            graph.replace_(each, 2, np.zeros(zero_point.shape, dtype=np.int8))


def return_bias(graph: QdqGraph, dequantize: Any) -> None:
    """Store a bias as the floating point numbers that it is dequantized to."""
    values = dequantized(graph, dequantize)
    for reader, place in list(graph.readers[dequantize.output[0]]):
        if place >= 0:
            graph.replace_(reader, place, values)


def store_as_float(graph: QdqGraph, dequantize: Any) -> None:
    """Put a weight in floating point with Q in front of its DQ, in place of its integers: Q gives the same integers."""
    values = dequantized(graph, dequantize)
    integers, name = dequantize.input[0], f"{dequantize.output[0]}_float"
    _name_zero_point_(graph, dequantize)
    graph.add_constant_(name, values)
    graph.add_node_(dequantize, QUANTIZE, [name, *dequantize.input[1:]], f"{name}_quantized")
    quantize = next(node for node in graph.graph.node if node.output[0] == f"{name}_quantized")
    quantize.attribute.extend(each for each in dequantize.attribute if each.name == "axis")
    dequantize.input[0] = f"{name}_quantized"
    graph.readers[integers] = [(node, at) for node, at in graph.readers[integers] if node is not dequantize]


def _name_zero_point_(graph: QdqGraph, dequantize: Any) -> None:
    """Write the zero point that is meant where none is named: Q without one gives uint8, whatever DQ takes."""
    stored, scale = graph.constant(dequantize.input[0]), graph.scale(dequantize)
    if stored is not None and scale is not None and not "".join(dequantize.input[2:]):
        name = f"{dequantize.output[0]}_zero_point"
        graph.add_constant_(name, np.zeros(scale.shape, dtype=stored.dtype))
        dequantize.input[2:] = [name]


def pass_by(graph: QdqGraph, dequantize: Any) -> None:
    """Let Softmax and normalizations read what was not rounded; their answers come nearer to those of fp32."""
    quantize = graph.makers[dequantize.input[0]]
    for reader in reads_as_float(graph, dequantize):
        _rename_(reader.input, dequantize.output[0], quantize.input[0])


def drop_second(graph: QdqGraph, quantize: Any) -> None:
    """Take out a pair that rounds again by the same scale: it changes nothing."""
    first = quantize.input[0]
    for dequantize in graph.of_kind(DEQUANTIZE):
        if dequantize.input[0] == quantize.output[0]:
            for reader, _ in graph.readers[dequantize.output[0]]:
                _rename_(reader.input, dequantize.output[0], first)


def _rename_(names: Any, old: str, new: str) -> None:
    for place, name in enumerate(names):
        if name == old:
            names[place] = new


def drop_unread_(graph: QdqGraph) -> None:
    """Drop Q, DQ and constants that nothing reads any more, and what was inferred before."""
    for kind in (DEQUANTIZE, QUANTIZE):
        read = graph.read_now()
        for node in [each for each in graph.graph.node if each.op_type == kind and each.output[0] not in read]:
            graph.graph.node.remove(node)
    graph.drop_unread_constants_()
    del graph.graph.value_info[:]
