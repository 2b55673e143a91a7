"""ONNX Runtime's profile against the graph that it ran and the time of its own calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.errors import MeasurementError
from hfcompress.profiling.profile import Call, Kernel, calls_in, node_seconds, read_events
from hfcompress.runtimes.onnxruntime import OPTIMIZED, OnnxRuntime
from tests.profiling import crafted
from tests.profiling.conftest import Ran

pytestmark = pytest.mark.export


def profile(folder: Path, place: Path, feeds: list[np.ndarray]) -> tuple[list[Call], list[Any]]:
    """Calls of a graph, and the nodes of its optimized form."""
    import onnx

    place.mkdir()
    runtime = OnnxRuntime(folder, threads=1, profile=place)
    for x in feeds:
        runtime.predict({"x": x})
    calls = calls_in(read_events(runtime.profiled()))
    return calls, list(onnx.load(place / OPTIMIZED, load_external_data=False).graph.node)


def test_the_kernels_of_a_call_are_the_nodes_of_its_graph_and_fit_into_its_time(ran: Ran, tmp_path: Path) -> None:
    feeds = [np.ones((1, 3, 8, 8), dtype=np.float32)] * 5
    calls, nodes = profile(ran.folders.int8, tmp_path / "profile", feeds)
    assert len(calls) == 5
    for call in calls:
        assert sorted(kernel.operator for kernel in call.kernels) == sorted(node.op_type for node in nodes)
        assert sum(kernel.duration for kernel in call.kernels) <= call.duration
    seconds = node_seconds(calls, nodes)
    assert seconds.shape == (5, len(nodes))
    together = [sum(kernel.duration for kernel in call.kernels) for call in calls]
    np.testing.assert_allclose(seconds.sum(axis=1) * 1e6, together)
    # In the call that nothing else on the machine disturbed, little is left for what is between kernels.
    assert max(part / call.duration for part, call in zip(together, calls, strict=True)) > 0.3


def test_a_subgraph_is_part_of_the_node_that_runs_it_and_nodes_need_no_name(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    branches = {
        name: helper.make_graph(
            [helper.make_node(kind, ["a"], [f"{name}_r"]), helper.make_node("MatMul", [f"{name}_r", "w"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name, kind in (("then", "Relu"), ("otherwise", "Neg"))
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("ReduceSum", ["a"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["b"], then_branch=branches["then"], else_branch=branches["otherwise"]),
        helper.make_node("MatMul", ["b", "w"], ["logits"]),
    ]
    folder = crafted.save(tmp_path / "if", nodes, {"w": np.ones((8, 8), np.float32), "zero": np.float32(0)})
    feeds = [np.ones((1, 3, 8, 8), np.float32), -np.ones((1, 3, 8, 8), np.float32)]
    calls, ran = profile(folder, tmp_path / "profile", feeds)
    assert [[kernel.operator for kernel in call.kernels] for call in calls] == [[node.op_type for node in ran]] * 2
    assert node_seconds(calls, ran).shape == (2, 5)


def test_nodes_of_one_kind_without_names_are_told_apart_by_their_turn() -> None:
    from onnx import helper

    nodes = [helper.make_node("Add", ["x", "x"], ["a"]), helper.make_node("Add", ["a", "a"], ["b"])]
    call = Call((Kernel("Add", "Add_0", 0, 3), Kernel("Add", "Add_7", 5, 9)), 20)
    np.testing.assert_allclose(node_seconds([call], nodes), [[3e-6, 9e-6]])


@pytest.mark.parametrize(
    ("kernels", "says"),
    [((), "no time for the Add `a`"), ((Kernel("Add", "a", 0, 1), Kernel("Mul", "m", 1, 1)), "has times for Mul")],
)
def test_a_profile_of_another_graph_is_refused(kernels: tuple[Kernel, ...], says: str) -> None:
    from onnx import helper

    with pytest.raises(MeasurementError, match=says):
        node_seconds([Call(kernels, 5)], [helper.make_node("Add", ["x", "x"], ["y"], name="a")])


def test_a_pass_is_the_sum_over_its_batches_and_the_first_one_does_not_count(ran: Ran) -> None:
    assert ran.int8.seconds.shape == (10, len(ran.int8.flow.nodes))
    assert (ran.int8.seconds >= 0).all()


def test_operators_and_layers_add_up_to_the_pass(ran: Ran) -> None:
    for side in (ran.int8, ran.fp32):
        whole = side.seconds.sum(axis=1)
        np.testing.assert_allclose(sum(side.by_layer.values()), whole)
        operators = {node.op_type for node in side.flow.nodes}
        np.testing.assert_allclose(sum(side.operator_seconds(name) for name in operators), whole)
