"""Cutting a graph: every node runs once, after what it needs; `If` bodies see the values around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hfcompress.runtimes.simulated.segments import cut, names_of

pytestmark = pytest.mark.export


def make(nodes: list[Any], constants: dict[str, np.ndarray] | None = None) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    tensors = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, inputs, [output], **attributes)


def run(model: Any, at: set[str], x: np.ndarray) -> np.ndarray:
    """The graph in segments; the cut nodes are negations."""
    import onnxruntime

    values = {"x": x}
    for segment in cut(model.graph, at):
        values |= segment.run(model, values, onnxruntime.SessionOptions())
        for each in segment.cuts:
            values[each.output[0]] = -values[each.input[0]]
    return values["y"]


def test_segments_give_what_the_whole_graph_gives() -> None:
    from onnx.reference import ReferenceEvaluator

    nodes = [
        node("Abs", ["x"], "a"),
        node("Neg", ["a"], "b"),  # cut
        node("Neg", ["x"], "c"),  # cut, in the same segment
        node("Add", ["b", "c"], "d"),
        node("Neg", ["d"], "e"),  # cut, in the next
        node("Mul", ["e", "a"], "f"),
        node("Add", ["f", "constant"], "y"),
    ]
    model = make(nodes, {"constant": np.array([3], dtype=np.float32)})
    x = np.array([1, -2, 5], dtype=np.float32)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    for at in (set(), {"b"}, {"c"}, {"b", "c", "e"}):
        np.testing.assert_array_equal(run(model, at, x), expected)


def test_cut_nodes_that_do_not_depend_on_each_other_share_a_segment() -> None:
    nodes = [node("Neg", ["x"], "a"), node("Neg", ["x"], "b"), node("Add", ["a", "b"], "c"), node("Neg", ["c"], "y")]
    segments = cut(make(nodes).graph, {"a", "b", "y"})
    assert [[each.output[0] for each in segment.cuts] for segment in segments] == [["a", "b"], ["y"]]
    assert [segment.inputs for segment in segments] == [[], ["a", "b"]]
    assert [segment.outputs for segment in segments] == [[], ["c"]]


def test_an_if_takes_what_its_bodies_take_from_around_them() -> None:
    from onnx import TensorProto, helper

    def body(kind: str) -> Any:
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
        return helper.make_graph([node(kind, ["n"], "inner"), node("Abs", ["inner"], "out")], kind, [], [out])

    chosen = node("If", ["condition"], "y", then_branch=body("Exp"), else_branch=body("Neg"))
    assert set(names_of(chosen)) == {"condition", "n"}
    model = make([node("Neg", ["x"], "n"), chosen], {"condition": np.array(True)})
    x = np.array([1.0], dtype=np.float32)
    np.testing.assert_allclose(run(model, {"n"}, x), np.exp(-x), rtol=1e-6)
