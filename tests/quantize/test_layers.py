"""Which nodes become integer, and what `skip` names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hfcompress.errors import InputError
from hfcompress.quantize.constants import name_nodes_, separate_biases_, store_constants_
from hfcompress.quantize.layers import layers_of, skipped
from hfcompress.quantize.targets import SCHEMES

onnx = pytest.importorskip("onnx")
VNNI = SCHEMES["avx512_vnni"]


def node(kind: str, name: str, inputs: list[str], **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, inputs, [f"{name}_output"], name=name, **attributes)


def model_of(nodes: list[Any], weights: dict[str, tuple[int, ...]]) -> Any:
    tensors = [onnx.numpy_helper.from_array(np.ones(shape, dtype=np.float32), key) for key, shape in weights.items()]
    value = onnx.helper.make_tensor_value_info
    last = nodes[-1].output[0]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", 1, ["n", 4])], [value(last, 1, ["n", 4])], tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def answers_of(model: Any) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": np.arange(8, dtype=np.float32).reshape(2, 4)})[0]
    return found


def names(nodes: tuple[Any, ...]) -> list[str]:
    return [each.name for each in nodes]


def test_products_with_weights_are_planned_and_those_of_two_activations_are_not() -> None:
    model = model_of(
        [
            node("MatMul", "/a/MatMul", ["x", "w"]),
            node("MatMul", "/b/MatMul", ["/a/MatMul_output", "x"]),
            node("MatMul", "/batched/MatMul", ["x", "batched"]),
            node("Gemm", "/c/Gemm", ["x", "w", "bias"]),
            node("Gather", "/t/Gather", ["w", "x"]),
            node("Add", "/d/Add", ["/a/MatMul_output", "bias"]),
        ],
        {"w": (4, 4), "bias": (4,), "batched": (2, 4, 4)},
    )
    layers = layers_of(model.graph, VNNI)
    assert names(layers.products) == ["/a/MatMul", "/c/Gemm"]
    assert names(layers.tables) == ["/t/Gather"]
    assert layers.between == ()
    assert names(layers_of(model.graph, SCHEMES["tensorrt"]).tables) == []


RESIDUAL = [
    node("Conv", "/one/Conv", ["x", "w"]),
    node("Relu", "/one/Relu", ["/one/Conv_output"]),
    node("Conv", "/two/Conv", ["/one/Relu_output", "w"]),
    node("Add", "/sum/Add", ["/two/Conv_output", "/one/Relu_output"]),
    node("MaxPool", "/pool/MaxPool", ["/sum/Add_output"], kernel_shape=[2, 2]),
    node("Add", "/outside/Add", ["/pool/MaxPool_output", "x"]),
]


def test_sums_and_pools_are_planned_where_all_that_they_read_comes_from_convolutions() -> None:
    graph = model_of(RESIDUAL, {"w": (4, 4, 3, 3)}).graph
    assert names(layers_of(graph, VNNI).between) == ["/one/Relu", "/sum/Add", "/pool/MaxPool"]
    assert names(layers_of(graph, VNNI, ["/one/Conv"]).between) == []
    assert names(layers_of(graph, SCHEMES["tensorrt"]).between) == []


LAYERS = [
    node("MatMul", f"/bert/encoder/layer.{index}/{part}/MatMul", ["x", "w"])
    for index in (1, 2, 12)
    for part in ("attention/self/query", "output/dense")
]


@pytest.mark.parametrize(
    "pattern, found",
    [
        ("bert.encoder.layer.2", 2),
        ("*.layer.2.*", 2),
        ("*.query", 3),
        ("bert.encoder.layer.1*", 4),
        ("/bert/encoder/layer.1/*", 2),
        ("/bert/encoder/layer.2/output/dense/MatMul", 1),
        ("bert.encoder.layer.?.output.dense", 2),
    ],
)
def test_a_pattern_names_nodes_or_modules_and_all_below_them(pattern: str, found: int) -> None:
    assert len(skipped(model_of(LAYERS, {"w": (4, 4)}).graph, [pattern])) == found


def test_a_pattern_that_fits_nothing_is_refused_with_near_names() -> None:
    graph = model_of(LAYERS, {"w": (4, 4)}).graph
    with pytest.raises(
        InputError, match=r"skip names 'bert\.encoder\.layer\.2\.output\.densee', which fits no layer"
    ) as e:
        skipped(graph, ["*.query", "bert.encoder.layer.2.output.densee"])
    assert "bert.encoder.layer.2.output.dense," in str(e.value)


def test_weights_behind_identities_and_in_constants_are_found() -> None:
    constant = onnx.numpy_helper.from_array(np.full((4, 4), 2, dtype=np.float32))
    model = model_of(
        [
            node("Constant", "c", [], value=constant),
            node("Identity", "same", ["w"]),
            node("Identity", "again", ["same_output"]),
            node("MatMul", "one", ["x", "again_output"]),
            node("MatMul", "two", ["one_output", "c_output"]),
            node("Identity", "out", ["two_output"]),
        ],
        {"w": (4, 4)},
    )
    before = answers_of(model)
    store_constants_(model)
    onnx.checker.check_model(model)
    np.testing.assert_array_equal(answers_of(model), before)
    assert [each.op_type for each in model.graph.node] == ["MatMul", "MatMul", "Identity"]
    assert names(layers_of(model.graph, VNNI).products) == ["one", "two"]
    assert model.graph.node[0].input[1] in {tensor.name for tensor in model.graph.initializer}


def test_every_gemm_gets_a_bias_of_its_own_and_every_node_a_name() -> None:
    model = model_of(
        [
            node("Gemm", "one", ["x", "w", "bias"]),
            node("Gemm", "one", ["one_output", "w", "bias"]),
            node("Add", "", ["one_output", "bias"]),
        ],
        {"w": (4, 4), "bias": (4,)},
    )
    model.graph.node[1].output[0] = "two_output"
    separate_biases_(model)
    name_nodes_(model)
    biases = [each.input[-1] for each in model.graph.node]
    assert len(set(biases)) == 3
    assert set(biases) <= {tensor.name for tensor in model.graph.initializer}
    assert len({each.name for each in model.graph.node} - {""}) == 3
