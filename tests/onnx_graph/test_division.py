"""Dividing channels by changing constants: exact where there is a way, and no way where others would see it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from hfcompress.onnx_graph.division import divide_, plan_division
from hfcompress.onnx_graph.wiring import Wiring
from tests.onnx_graph.test_first_token import copy_of, node, run

pytestmark = pytest.mark.export
WIDTH, HEADS = 8, 2
FACTORS = np.array([0.1, 0.5, 1, 2, 3, 7, 20, 90.0])


def graph(nodes: list[Any], outputs: tuple[str, ...] = ("y",), opset: int = 17) -> Any:
    """A graph over x (rows, 3 tokens, 8) with weights of its size, whose output y is to be divided."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    floats = {"w": (8, 8), "u": (8, 8), "gamma": (8,), "beta": (8,), "bias": (8,), "table": (3, 8)}
    constants = {name: rng.uniform(0.5, 2, shape).astype(np.float32) for name, shape in floats.items()}
    integers = {"heads": [0, 3, HEADS, WIDTH // HEADS], "joined": [0, 3, WIDTH], "flat": [-1, WIDTH]}
    constants |= {name: np.array(values, dtype=np.int64) for name, values in integers.items()}
    constants |= {"half": np.array(0.5, np.float32), "two": np.array(2, np.float32), "tiny": np.array(1e-5, np.float32)}
    read = {name for each in nodes for name in each.input}
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3, WIDTH])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(values, name) for name, values in constants.items() if name in read]
    made = helper.make_graph(nodes, "graph", [x], ends, stored)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def attention(last: list[Any]) -> list[Any]:
    """Attention probabilities of x times the values of v, heads joined."""
    split = [node("Reshape", "x heads", "xh"), node("Transpose", "xh", "q", perm=[0, 2, 1, 3])]
    keys = [node("Transpose", "xh", "k", perm=[0, 2, 3, 1]), node("MatMul", "q k", "scores")]
    values = [node("Reshape", "v heads", "vh"), node("Transpose", "vh", "vt", perm=[0, 2, 1, 3])]
    product = [node("Softmax", "scores", "chances", axis=-1), node("MatMul", "chances vt", "o")]
    return [*split, *keys, *last, *values, *product, node("Transpose", "o", "ot", perm=[0, 2, 1, 3])]


FOLDS = {
    "a layer normalization": [node("LayerNormalization", "x gamma beta", "y", axis=-1)],
    "one without a bias": [node("LayerNormalization", "x gamma", "y", axis=2)],
    "one in several operators": [
        node("ReduceMean", "x", "m", axes=[-1]),
        node("Sub", "x m", "c"),
        node("Pow", "c two", "s"),
        node("ReduceMean", "s", "v", axes=[-1]),
        node("Add", "v tiny", "e"),
        node("Sqrt", "e", "d"),
        node("Div", "c d", "n"),
        node("Mul", "n gamma", "g"),
        node("Add", "g beta", "y"),
    ],
    "a linear layer": [node("MatMul", "x w", "p"), node("Add", "bias p", "y")],
    "a linear layer and a ReLU": [node("MatMul", "x w", "p"), node("Sub", "p bias", "q"), node("Relu", "q", "y")],
    "a Gemm": [node("Reshape", "x flat", "f"), node("Gemm", "f w bias", "y")],
    "a transposed Gemm": [node("Reshape", "x flat", "f"), node("Gemm", "f w bias", "y", transB=1)],
    "a scaled sum of two layers": [
        node("MatMul", "x w", "p"),
        node("MatMul", "x u", "q"),
        node("Add", "p q", "s"),
        node("Add", "s table", "t"),
        node("Mul", "half t", "y"),
    ],
    "a gated layer": [
        node("MatMul", "x w", "p"),
        node("Sigmoid", "p", "g"),
        node("MatMul", "x u", "q"),
        node("Mul", "g q", "y"),
    ],
    "the values of an attention": [
        *attention([node("MatMul", "x w", "p"), node("Add", "p bias", "v")]),
        node("Reshape", "ot joined", "y"),
    ],
}


@pytest.mark.parametrize("name", FOLDS)
def test_the_division_is_exact_through(name: str) -> None:
    before = graph(FOLDS[name])
    after = copy_of(before)
    wiring = Wiring(after)
    edits = plan_division(wiring, "y", WIDTH)
    assert edits
    divide_(wiring, edits, FACTORS)
    x = {"x": np.random.default_rng(1).standard_normal((2, 3, WIDTH)).astype(np.float32)}
    expected = run(before, x)["y"] / FACTORS
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(run(after, x)["y"], expected, rtol=2e-5, atol=1e-6)


BLOCKED = {
    "a residual connection": [node("MatMul", "x w", "p"), node("Add", "p x", "y")],
    "a second reader of the product": [
        node("MatMul", "x w", "p"),
        node("Relu", "p", "r"),
        node("Add", "p r", "y"),
    ],
    "a GELU": [
        node("MatMul", "x w", "p"),
        node("Erf", "p", "e"),
        node("Mul", "p e", "m"),
        node("Mul", "m half", "y"),
    ],
    "weights that are read twice": [node("MatMul", "x w", "p"), node("MatMul", "p w", "y")],
    "a softmax": [node("MatMul", "x w", "p"), node("Softmax", "p", "y", axis=-1)],
}


@pytest.mark.parametrize("name", BLOCKED)
def test_there_is_no_way_through(name: str) -> None:
    assert plan_division(Wiring(graph(BLOCKED[name])), "y", WIDTH) is None


def test_the_input_of_a_graph_is_not_changed() -> None:
    wiring = Wiring(graph([node("Relu", "x", "y")]))
    assert plan_division(wiring, "x", WIDTH) is None
    assert plan_division(wiring, "y", WIDTH) is None


def test_a_tensor_that_the_graph_gives_out_is_not_changed() -> None:
    model = graph([node("MatMul", "x w", "p"), node("Relu", "p", "y")], outputs=("y", "p"))
    assert plan_division(Wiring(model), "y", WIDTH) is None


def test_constants_that_others_read_stay_as_they_are() -> None:
    norms = [node("LayerNormalization", "x gamma beta", name, axis=-1) for name in ("y", "z")]
    before = graph(norms, outputs=("y", "z"))
    after = copy_of(before)
    wiring = Wiring(after)
    edits = plan_division(wiring, "y", WIDTH)
    assert edits is not None
    divide_(wiring, edits, FACTORS)
    x = {"x": np.random.default_rng(1).standard_normal((2, 3, WIDTH)).astype(np.float32)}
    np.testing.assert_allclose(run(after, x)["y"], run(before, x)["y"] / FACTORS, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(run(after, x)["z"], run(before, x)["z"])
