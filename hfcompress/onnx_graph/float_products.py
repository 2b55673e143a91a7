"""The products of a graph that multiply floating point numbers, and what of the graph made them so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from hfcompress.onnx_graph.flow import Flow

#: Operator -> the one that a quantizer is asked for: ONNX Runtime fuses others into some of them.
FLOAT_PRODUCTS = {
    "MatMul": "MatMul",
    "FusedMatMul": "MatMul",
    "Gemm": "Gemm",
    "FusedGemm": "Gemm",
    "Conv": "Conv",
    "FusedConv": "Conv",
    "ConvTranspose": "ConvTranspose",
    "Attention": "Attention",
}

#: `activations`: neither factor is a weight. `unfused`: its weight, or both activations, are dequantized for it: Q/DQ
#: stand in the graph and became no integer product. `float_weight`: its weight was never quantized.
Cause = Literal["activations", "unfused", "float_weight"]


@dataclass(frozen=True)
class FloatProduct:
    """One product in floating point.

    Attributes:
        index: of its node.
        operator: as a quantizer is asked for it: `MatMul`, `Gemm`, `Conv`.
        cause: see `Cause`.
        detail: for `unfused`, what the Q/DQ pattern lacks, where that is known.
    """

    index: int
    operator: str
    cause: Cause
    detail: str = ""


def float_products(flow: Flow) -> Iterator[FloatProduct]:
    """Every product in floating point, in the order of the graph."""
    for index, node in enumerate(flow.nodes):
        if node.op_type in FLOAT_PRODUCTS:
            cause = _cause(flow, node)
            detail = _missing(flow, node) if cause == "unfused" else ""
            yield FloatProduct(index, FLOAT_PRODUCTS[node.op_type], cause, detail)


def _cause(flow: Flow, node: Any) -> Cause:
    sources = [_Source(flow, tensor) for tensor in node.input[:2]]
    weights = [source for source in sources if source.constant]
    if weights:
        return "unfused" if any(weight.dequantized for weight in weights) else "float_weight"
    return "unfused" if all(source.pair for source in sources) else "activations"


class _Source:
    """Where a factor comes from: `pair` is one that was quantized only to be dequantized for this product."""

    def __init__(self, flow: Flow, tensor: str) -> None:
        origin = flow.origin(tensor)
        maker = flow.maker(origin)
        self.dequantized = maker is not None and maker.op_type == "DequantizeLinear"
        before = flow.origin(maker.input[0]) if maker is not None and self.dequantized else origin
        quantizer = flow.maker(before)
        self.constant = flow.is_constant(before)
        self.pair = self.dequantized and quantizer is not None and quantizer.op_type == "QuantizeLinear"


def _missing(flow: Flow, node: Any) -> str:
    """What ONNX Runtime needs for an integer product and does not find here."""
    first = flow.maker(node.input[0])
    if first is None or first.op_type != "DequantizeLinear":
        return "its input is not quantized"
    readers = flow.readers(node.output[0])
    if FLOAT_PRODUCTS[node.op_type] == "Conv" and {reader.op_type for reader in readers} != {"QuantizeLinear"}:
        return "its output is not quantized, or is read in floating point too"
    return _fault_of_bias(flow, node.input[2]) if len(node.input) > 2 and node.input[2] else ""


def _fault_of_bias(flow: Flow, bias: str) -> str:
    maker = flow.maker(bias)
    if maker is None:
        return ""
    if maker.op_type != "DequantizeLinear":
        return "its bias is computed"
    return "its bias is shared with another layer" if len(flow.readers(maker.input[0])) > 1 else ""
