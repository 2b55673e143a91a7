"""To which module of the model the nodes of an optimized graph belong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.flow import Flow
from hfcompress.onnx_graph.layers import layers_of, module_of, path_of

pytestmark = pytest.mark.export


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "") -> Any:
    from onnx import helper

    return helper.make_node(kind, list(inputs), list(outputs), name=name)


def flow(nodes: Sequence[Any], *weights: str) -> Flow:
    """A graph of these nodes and weights."""
    from onnx import helper, numpy_helper

    stored = [numpy_helper.from_array(np.zeros(2, dtype=np.float32), name) for name in weights]
    return Flow(helper.make_graph(list(nodes), "graph", [], [], stored))


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("/bert/encoder/layer.0/attention/self/query/MatMul", "bert.encoder.layer.0.attention.self.query"),
        ("/classifier/Gemm_output_0", "classifier"),
        ("/Gather", "(root)"),
    ],
)
def test_a_path_is_that_of_the_torch_module_and_an_operator(path: str, module: str) -> None:
    assert module_of(path) == module


@pytest.mark.parametrize(
    "name",
    [
        "/head/MatMul",
        "/head/MatMul_quant",
        "/head/MatMul_token_5",
        "fused /head/Gemm",
        "/head/MatMul/MatmulTransposeFusion/",
        "/head/MatMul/MatMulScaleFusion//MatmulTransposeFusion/_token_3",
        "/head/Add_output_0_DequantizeLinear/duplicated_token_15",
    ],
)
def test_what_onnx_runtime_puts_around_a_name_is_no_part_of_its_path(name: str) -> None:
    path = path_of(node("MatMul", ["x"], ["y"], name))
    assert path is not None
    assert module_of(path) == "head"


@pytest.mark.parametrize("kind", ["MatMulScaleFusion", "MatmulTransposeFusion"])
def test_the_names_of_real_fusions_lead_to_their_module(kind: str, tmp_path: Any) -> None:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    before = (
        node("Mul", ["x", "half"], ["scaled"], "/attention/Mul")
        if kind == "MatMulScaleFusion"
        else helper.make_node("Transpose", ["x"], ["scaled"], name="/attention/Transpose", perm=[1, 0])
    )
    nodes = [before, node("MatMul", ["scaled", "x"], ["y"], "/attention/MatMul")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(np.float32(0.5), "half")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimized = Flow(onnx.load(tmp_path / "optimized.onnx").graph)
    assert [each.op_type for each in optimized.nodes] == ["FusedMatMul"]
    assert kind in optimized.nodes[0].name
    assert layers_of(optimized) == [("attention",)]


def test_a_fused_node_without_a_path_is_known_by_its_output_its_inputs_or_its_readers() -> None:
    nodes = [
        node("Transpose", ["x"], ["x_nhwc"], "Transpose"),
        node("QLinearConv", ["x_nhwc", "w"], ["c"], "/stem/Conv_token_5"),
        node("BiasGelu", ["c", "b"], ["/act/Mul_1_output_0"], "BiasGelu"),
        node("Transpose", ["/act/Mul_1_output_0"], ["t"], "Transpose_token_8"),
        node("Softmax", ["t"], ["y"]),
    ]
    assert layers_of(flow(nodes, "w", "b")) == [("stem",), ("stem",), ("act",), ("act",), ("Softmax",)]


def test_what_quantizes_belongs_in_equal_parts_to_the_products_that_read_it() -> None:
    nodes = [
        node("DynamicQuantizeLinear", ["/norm/Add_output_0"], ["q", "s", "z"], "/norm/Add_output_0_QuantizeLinear"),
        node("MatMulIntegerToFloat", ["q", "w1", "s"], ["a"], "/query/MatMul_quant"),
        node("Reshape", ["q", "shape"], ["r"], "/moved/Reshape"),
        node("MatMulIntegerToFloat", ["r", "w2", "s"], ["b"], "/key/MatMul_quant"),
    ]
    assert layers_of(flow(nodes, "w1", "w2", "shape"))[0] == ("query", "key")


def test_what_dequantizes_belongs_to_its_reader_where_that_multiplies_else_to_the_product_that_gave_it() -> None:
    nodes = [
        node("QLinearMatMul", ["x", "w"], ["q"], "/dense/MatMul"),
        node("DequantizeLinear", ["q", "s"], ["d"], "/dense/MatMul_output_0_DequantizeLinear"),
        node("Add", ["d", "b"], ["/dense/Add_output_0"], "/dense/Add"),
        node("QuantizeLinear", ["/norm/Add_output_0", "s"], ["n"], "/norm/Add_output_0_QuantizeLinear"),
        node("DequantizeLinear", ["n", "s"], ["residual"], "/norm/Add_output_0_DequantizeLinear"),
        node("Add", ["residual", "/dense/Add_output_0"], ["sum"], "/output/Add"),
        node("DequantizeLinear", ["w8", "s"], ["w8_d"], "onnx::Conv_8_DequantizeLinear"),
        node("Conv", ["sum", "w8_d"], ["y"], "/conv/Conv"),
    ]
    owners = layers_of(flow(nodes, "w", "s", "b", "w8"))
    assert [owners[index] for index in (1, 3, 4, 6)] == [("dense",), ("norm",), ("norm",), ("conv",)]
