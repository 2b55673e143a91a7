"""The simulated runtime: without saturation it is ONNX Runtime on this CPU, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.errors import InputError, ModelError
from hfcompress.host import describe_host
from hfcompress.quantize.targets import cpu_of
from hfcompress.runtimes.base import Runtime
from hfcompress.runtimes.load import load
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.runtimes.open import runtime_for
from hfcompress.runtimes.settings import Settings
from hfcompress.runtimes.simulated.runtime import SATURATING, SimulatedRuntime
from hfcompress.runtimes.simulated.saturation import saturating_matmul
from tests import int8_graphs

pytestmark = [
    pytest.mark.export,
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:onnxruntime"),
]
#: What this host computes; the oracle below is ONNX Runtime on it.
HOST = cpu_of(describe_host().flags)
KINDS = ("dynamic", "qdq_unsigned", "qdq_signed", "resnet_unsigned")


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of INT8 graphs with 8-bit weights."""
    root = tmp_path_factory.mktemp("int8")
    bert, resnet = int8_graphs.export_bert(root / "bert"), int8_graphs.export_resnet(root / "resnet")
    made = {"dynamic": int8_graphs.quantize_dynamically(bert, root / "dynamic", "avx512_vnni")}
    for name, source, batches, activations in (
        ("qdq_unsigned", bert, int8_graphs.text_batches(), "QUInt8"),
        ("qdq_signed", bert, int8_graphs.text_batches(), "QInt8"),
        ("resnet_unsigned", resnet, int8_graphs.image_batches(), "QUInt8"),
    ):
        made[name] = int8_graphs.quantize_statically(source, root / name, batches, activations)
    return made


def answers(runtime: Runtime, kind: str) -> np.ndarray:
    batches = int8_graphs.image_batches() if kind.startswith("resnet") else int8_graphs.text_batches()
    return np.concatenate([runtime.predict(batch)["logits"] for batch in batches])


@pytest.mark.parametrize("kind", KINDS)
def test_this_hosts_own_arithmetic_is_onnx_runtime_bit_for_bit(graphs: dict[str, Path], kind: str) -> None:
    simulated = SimulatedRuntime(graphs[kind], HOST, threads=1)
    assert simulated.products, "otherwise nothing is simulated"
    np.testing.assert_array_equal(answers(simulated, kind), answers(OnnxRuntime(graphs[kind], threads=1), kind))


@pytest.mark.parametrize("kind", KINDS)
def test_without_vnni_answers_differ_and_stay_near(graphs: dict[str, Path], kind: str) -> None:
    exact, saturated = (answers(SimulatedRuntime(graphs[kind], cpu, threads=1), kind) for cpu in ("arm64", "avx2"))
    assert (exact != saturated).any()
    assert np.abs(exact - saturated).max() < 0.5 * np.abs(exact).max()
    np.testing.assert_array_equal(answers(SimulatedRuntime(graphs[kind], "avx512", threads=1), kind), saturated)


def test_weights_of_7_bits_give_the_same_integers_everywhere(graphs: dict[str, Path], tmp_path: Path) -> None:
    fp32 = graphs["dynamic"].parent / "bert" / "onnx"
    int8_graphs.quantize_dynamically(fp32, tmp_path / "int8", "avx2")
    simulated = SimulatedRuntime(tmp_path / "int8", "avx2", threads=1)
    assert simulated.products == {}
    expected = answers(OnnxRuntime(tmp_path / "int8", threads=1), "dynamic")
    np.testing.assert_array_equal(answers(simulated, "dynamic"), expected)


def test_it_is_a_runtime_like_any_other(graphs: dict[str, Path]) -> None:
    runtime = runtime_for(graphs["dynamic"], "onnx", "text-classification", Settings("simulated:avx2", 1))
    assert (runtime.name, runtime.threads) == ("simulated:avx2", 1)
    assert set(runtime.input_names) == {"input_ids", "attention_mask", "token_type_ids"}
    assert load(graphs["dynamic"], runtime="simulated:avx2", threads=1).classify(["good word1"])[0] in (
        "negative",
        "positive",
    )
    with pytest.raises(InputError, match="simulated:avx2 needs token_type_ids"):
        runtime.predict({name: np.ones((1, 3)) for name in ("input_ids", "attention_mask")})
    with pytest.raises(InputError, match="no CPU 'z80' to simulate; choose one of avx2, avx512, avx512_vnni, arm64"):
        SimulatedRuntime(graphs["dynamic"], "z80")


OPERATORS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "MatMulInteger": (["a", "b", "a_zero", "b_zero"], {}),
    "MatMulIntegerToFloat": (["a", "b", "a_scale", "b_scale", "a_zero", "b_zero", "float_bias"], {}),
    "DynamicQuantizeMatMul": (["values", "b", "b_scale", "b_zero", ""], {}),
    "QLinearMatMul": (["a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "y_scale", "y_zero"], {}),
    "QGemm": (
        ["a", "a_scale", "a_zero", "b_t", "b_scale", "b_zero", "bias", "y_scale", "y_zero"],
        {"transB": 1, "alpha": 0.5},
    ),
}
#: DynamicQuantizeMatMul and its kin are of ONNX Runtime.
OWN = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QGemm")


def save(path: Path, kind: str, inputs: list[str], values: dict[str, np.ndarray], **attributes: Any) -> Path:
    """A graph of one product; `a`, `values` and `x` are its inputs, the others constants."""
    import onnx
    from onnx import helper, numpy_helper

    node = helper.make_node(
        kind, inputs, ["logits"], name="product", domain="com.microsoft" if kind in OWN else "", **attributes
    )
    given = [name for name in inputs if name in ("a", "values", "x")]
    constants = [numpy_helper.from_array(np.asarray(values[name]), name) for name in inputs if name not in (*given, "")]
    types = [helper.np_dtype_to_tensor_dtype(values[name].dtype) for name in given]
    ends = [helper.make_tensor_value_info(name, type_, None) for name, type_ in zip(given, types, strict=True)]
    graph = helper.make_graph([node], "product", ends, [onnx.ValueInfoProto(name="logits")], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def factors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    b = rng.integers(-128, 128, (33, 5)).astype(np.int8)
    return {
        "a": rng.integers(0, 256, (4, 33)).astype(np.uint8),
        "values": rng.normal(size=(2, 4, 33)).astype(np.float32),
        "b": b,
        "b_t": b.T.copy(),
        "a_zero": np.uint8(131),
        "b_zero": np.full(5, 3, dtype=np.int8),
        "a_scale": np.float32(0.013),
        "b_scale": rng.random(5).astype(np.float32),
        "y_scale": np.float32(9.7),
        "y_zero": np.uint8(120),
        "bias": rng.integers(-9999, 9999, 5).astype(np.int32),
        "float_bias": rng.normal(size=5).astype(np.float32),
    }


@pytest.mark.skipif(HOST in SATURATING, reason="the oracle saturates here")
@pytest.mark.parametrize("kind", OPERATORS)
def test_every_product_equals_onnx_runtimes_bit_for_bit(tmp_path: Path, kind: str) -> None:
    inputs, attributes = OPERATORS[kind]
    values = factors()
    path = save(tmp_path / "model.onnx", kind, inputs, values, **attributes)
    simulated = SimulatedRuntime(path, "avx512_vnni", threads=1)
    assert list(simulated.products) == ["product"]
    expected = OnnxRuntime(path, threads=1).predict(values)["logits"]
    found = simulated.predict(values)["logits"]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert (SimulatedRuntime(path, "avx2", threads=1).predict(values)["logits"] != expected).any()


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((6, 5, 3, 3), {}),
    "strided and padded": ((16, 8, 3, 3), {"strides": [2, 1], "pads": [1, 0, 2, 1]}),
    "dilated": ((4, 3, 2, 3), {"dilations": [2, 1]}),
    "grouped": ((6, 2, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
    "pointwise": ((7, 6, 1, 1), {}),
    "one dimension": ((6, 5, 3), {"pads": [1, 1]}),
}
CONV_INPUTS = ["x", "a_scale", "a_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero", "w_bias"]


def conv_values(shape: tuple[int, ...], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    size = (2, shape[1] * attributes.get("group", 1), *[9] * (len(shape) - 2))
    return factors() | {
        "x": rng.integers(0, 256, size).astype(np.uint8),
        "w": rng.integers(-128, 128, shape).astype(np.int8),
        "w_scale": rng.random(shape[0]).astype(np.float32),
        "w_zero": np.zeros(shape[0], dtype=np.int8),
        "w_bias": rng.integers(-9999, 9999, shape[0]).astype(np.int32),
    }


@pytest.mark.skipif(HOST in SATURATING, reason="the oracle saturates here")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_equal_onnx_runtimes_bit_for_bit(tmp_path: Path, name: str) -> None:
    shape, attributes = CONVOLUTIONS[name]
    values = conv_values(shape, attributes)
    path = save(tmp_path / "model.onnx", "QLinearConv", CONV_INPUTS, values, **attributes)
    simulated = SimulatedRuntime(path, "avx512_vnni", threads=1)
    assert list(simulated.products) == ["product"]
    expected = OnnxRuntime(path, threads=1).predict(values)["logits"]
    np.testing.assert_array_equal(simulated.predict(values)["logits"], expected)


def test_neighbours_in_a_convolution_are_the_channels_of_one_tap(tmp_path: Path) -> None:
    """Each pixel against the product of one row, whose elements are in the kernel's order: by tap, then by channel."""
    values = conv_values((6, 5, 3, 3), {}) | {"y_scale": np.float32(40), "w_bias": np.zeros(6, dtype=np.int32)}
    path = save(tmp_path / "model.onnx", "QLinearConv", CONV_INPUTS, values)
    found = SimulatedRuntime(path, "avx2", threads=1).predict(values)["logits"]
    assert (found != SimulatedRuntime(path, "arm64", threads=1).predict(values)["logits"]).mean() > 0.1
    matrix = np.stack([filter_.reshape(5, 9).T.ravel() for filter_ in values["w"]], axis=1)
    for row in range(7):
        for column in range(7):
            seen = values["x"][0, :, row : row + 3, column : column + 3].reshape(5, 9).T.reshape(1, 45)
            sums = saturating_matmul(np.ascontiguousarray(seen), matrix)[0] - 131 * matrix.sum(axis=0, dtype=np.int64)
            scaled = np.rint(sums.astype(np.float32) * (values["a_scale"] * values["w_scale"] / np.float32(40)))
            np.testing.assert_array_equal(found[0, :, row, column], np.clip(scaled + 120, 0, 255))


def test_depthwise_convolutions_never_saturate(tmp_path: Path) -> None:
    attributes = {"group": 16}
    values = conv_values((16, 1, 3, 3), attributes)
    path = save(tmp_path / "model.onnx", "QLinearConv", CONV_INPUTS, values, **attributes)
    assert SimulatedRuntime(path, "avx2", threads=1).products == {}


def test_unsigned_weights_never_saturate(tmp_path: Path) -> None:
    values = factors() | {"b": np.full((33, 5), 255, dtype=np.uint8), "b_zero": np.full(5, 128, dtype=np.uint8)}
    path = save(tmp_path / "model.onnx", "MatMulInteger", OPERATORS["MatMulInteger"][0], values)
    assert SimulatedRuntime(path, "avx2", threads=1).products == {}


def test_what_is_not_simulated_is_refused_by_name(tmp_path: Path) -> None:
    inputs = ["a", "b"]
    values = factors() | {"a": np.ones((2, 4, 3), dtype=np.uint8), "b": np.full((2, 3, 5), 127, dtype=np.int8)}
    path = save(tmp_path / "model.onnx", "MatMulInteger", inputs, values)
    with pytest.raises(ModelError, match=r"MatMulInteger product has weights of shape \(2, 3, 5\); only matrices"):
        SimulatedRuntime(path, "avx2")
