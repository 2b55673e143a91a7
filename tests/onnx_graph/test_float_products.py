"""Products in floating point, and what of the graph made them so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.float_products import float_products
from hfcompress.onnx_graph.flow import Flow

pytestmark = pytest.mark.export

QUANTIZED_X = (("QuantizeLinear", ["x", "s"], "xq"), ("DequantizeLinear", ["xq", "s"], "xd"))
QUANTIZED_W = (("DequantizeLinear", ["w8", "s"], "wd"),)
WEIGHTS = ("w", "w8", "s", "b8", "shape")


def causes(*operators: tuple[str, Sequence[str], str]) -> list[tuple[str, str, str]]:
    """Operator, cause and detail of each product of a graph of these operators."""
    from onnx import helper, numpy_helper

    nodes: list[Any] = [helper.make_node(kind, list(inputs), [output]) for kind, inputs, output in operators]
    stored = [numpy_helper.from_array(np.zeros(2, dtype=np.float32), name) for name in WEIGHTS]
    flow = Flow(helper.make_graph(nodes, "graph", [], [], stored))
    return [(product.operator, product.cause, product.detail) for product in float_products(flow)]


@pytest.mark.parametrize(("kind", "asked"), [("MatMul", "MatMul"), ("FusedGemm", "Gemm"), ("FusedConv", "Conv")])
def test_a_weight_that_was_never_quantized(kind: str, asked: str) -> None:
    assert causes((kind, ["x", "w"], "y")) == [(asked, "float_weight", "")]


def test_a_weight_that_is_moved_first_is_still_one_and_either_factor_may_be_it() -> None:
    moved = causes(("Transpose", ["w"], "wt"), ("MatMul", ["x", "wt"], "y"), ("MatMul", ["w", "y"], "z"))
    assert [cause for _, cause, _ in moved] == ["float_weight", "float_weight"]


def test_two_activations() -> None:
    assert causes(("Relu", ["x"], "a"), ("FusedMatMul", ["a", "x"], "y")) == [("MatMul", "activations", "")]


def test_activations_that_came_out_of_integer_products_are_no_unfused_pairs() -> None:
    leaving = [("QLinearMatMul", ["x", "w8"], "q"), ("DequantizeLinear", ["q", "s"], "d"), ("Transpose", ["d"], "t")]
    assert causes(*leaving, ("MatMul", ["t", "t"], "y")) == [("MatMul", "activations", "")]


def test_two_activations_that_were_quantized_for_nothing_are_unfused() -> None:
    found = causes(*QUANTIZED_X, ("Reshape", ["xd", "shape"], "r"), ("MatMul", ["xd", "r"], "y"))
    assert found == [("MatMul", "unfused", "")]


def test_a_quantized_weight_without_a_quantized_input() -> None:
    assert causes(*QUANTIZED_W, ("Gemm", ["x", "wd"], "y")) == [("Gemm", "unfused", "its input is not quantized")]


def test_a_convolution_whose_output_goes_on_in_floating_point() -> None:
    around = (*QUANTIZED_X, *QUANTIZED_W)
    expected = [("Conv", "unfused", "its output is not quantized, or is read in floating point too")]
    assert causes(*around, ("Conv", ["xd", "wd"], "y"), ("Relu", ["y"], "z")) == expected
    both = (("QuantizeLinear", ["y", "s"], "yq"), ("Relu", ["y"], "z"))
    assert causes(*around, ("Conv", ["xd", "wd"], "y"), *both) == expected


def test_a_bias_that_two_layers_share() -> None:
    shared = (("DequantizeLinear", ["b8", "s"], "b1"), ("DequantizeLinear", ["b8", "s"], "b2"))
    convolution = (("Conv", ["xd", "wd", "b1"], "y"), ("QuantizeLinear", ["y", "s"], "yq"))
    found = causes(*QUANTIZED_X, *QUANTIZED_W, *shared, *convolution)
    assert found == [("Conv", "unfused", "its bias is shared with another layer")]
    assert causes(*QUANTIZED_X, *QUANTIZED_W, shared[0], *convolution) == [("Conv", "unfused", "")]


def test_integer_products_are_none_of_these() -> None:
    assert causes(("MatMulInteger", ["x", "w8"], "y"), ("QGemm", ["x", "w8"], "z")) == []
