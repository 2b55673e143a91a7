"""What `fix_` mends: the fault is gone, no other has come, and the answers are those of ONNX Runtime before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.lint import fix_, lint, linter
from tests.onnx_graph.lint import test_rules as plants
from tests.onnx_graph.lint.crafted import clean, find, insert, store, stored

pytestmark = pytest.mark.export


def answers(model: Any) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # as it is written
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(1).normal(size=(5, 3, 8, 8)).astype(np.float32)
    found: np.ndarray = session.run(None, {"image": image})[0]
    return found


def middle_of_uint8(model: Any) -> None:
    """Activations, and a weight that is stored, as uint8 with zero point 128."""
    plants.stored_as_integers(model)
    store(model, "integers", (stored(model, "integers").astype(np.int16) + 128).astype(np.uint8))
    store(model, "query.w_zero", np.full(16, 128, dtype=np.uint8))
    store(model, "rows_zero", np.uint8(128))


def integers_that_move(model: Any) -> None:
    """A table of integers that is looked up, and activations that are cut and reshaped before they are dequantized."""
    parameters = [store(model, "table_scale", np.float32(0.1)), store(model, "table_zero", np.int8(0))]
    table = store(model, "table", np.arange(-32, 32, dtype=np.int8).reshape(4, 16))
    insert(model, "query.add", "Gather", [table, store(model, "second", np.array(1))], "row")
    find(model, "query.add").input[1] = insert(model, "query.add", "DequantizeLinear", ["row", *parameters], "row_dq")
    insert(model, "rows_dq", "Reshape", ["rows_q", store(model, "same", np.array([0, 0, -1]))], "reshaped")
    bounds = [store(model, name, np.array([place])) for name, place in (("from", 0), ("to", 4), ("axis", 1))]
    find(model, "rows_dq").input[0] = insert(model, "rows_dq", "Slice", ["reshaped", *bounds], "cut")


EXACT = [
    integers_that_move,
    middle_of_uint8,
    plants.rounded_twice_alike,
    plants.axis_that_is_not_written,
    plants.bias_in_32_bits,
    plants.stored_as_integers,
]


@pytest.mark.parametrize("plant", EXACT, ids=[plant.__name__ for plant in EXACT])
def test_what_is_mended_answers_as_before(plant: plants.Plant) -> None:
    import onnx

    model = clean()
    plant(model)
    before = answers(model)
    assert lint(model)
    assert fix_(model) > 0
    onnx.checker.check_model(model, full_check=True)
    assert lint(model) == ()
    np.testing.assert_allclose(answers(model), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("plant", [plants.rounded_softmax, plants.rounded_layer_norm, plants.bias_in_8_bits])
def test_what_was_rounded_for_nothing_is_the_clean_graph_again(plant: plants.Plant) -> None:
    model = clean()
    plant(model)
    assert not np.array_equal(answers(model), answers(clean()))
    fix_(model)
    assert lint(model) == ()
    assert np.array_equal(answers(model), answers(clean()))


def test_what_cannot_be_mended_stays_and_says_so() -> None:
    model = clean()
    plants.asymmetric(model)
    plants.residual_in_float(model)
    before = model.SerializeToString()
    assert fix_(model) == 0
    assert model.SerializeToString() == before
    assert [finding.fixable for finding in lint(model)] == [False, False]


def test_a_clean_graph_is_left_as_it_is() -> None:
    model = clean()
    assert fix_(model) == 0
    assert model.SerializeToString() == clean().SerializeToString()


def test_a_pair_that_rounds_to_another_type_is_a_clamp_and_stays() -> None:
    model = clean()
    plants.rounded_twice_alike(model)
    store(model, "again_zero", np.uint8(0))
    before = answers(model)
    assert [finding.fixable for finding in lint(model) if finding.rule == "repeated-pair"] == [False]
    fix_(model)
    assert np.array_equal(answers(model), before)


def an_output(model: Any, name: str) -> None:
    from onnx import helper

    kind = find(model, name).op_type == "DequantizeLinear"
    model.graph.output.append(helper.make_tensor_value_info(name, 1 if kind else 3, None))  # float, int8


def read_as_integers(model: Any, name: str) -> None:
    insert(model, "query", "Cast", [name], "cast", to=1)


def read_in_a_subgraph(model: Any, name: str) -> None:
    """What reads a tensor reads it through an `If`."""
    from onnx import helper

    readers = [node for node in model.graph.node if name in node.input]
    nodes = [helper.make_node("Identity", [name], ["inner"])]
    body = helper.make_graph(nodes, "body", [], [helper.make_empty_tensor_value_info("inner")])
    condition = store(model, "condition", np.array(True))
    insert(model, readers[0].name, "If", [condition], f"{name}_if", then_branch=body, else_branch=body)
    for node in readers:
        node.input[list(node.input).index(name)] = f"{name}_if"


HELD = [
    (an_output, "again_q"),
    (an_output, "again_dq"),
    (read_as_integers, "again_q"),
    (read_in_a_subgraph, "again_q"),
    (read_in_a_subgraph, "again_dq"),
]


@pytest.mark.parametrize(("hold", "name"), HELD, ids=[f"{name}_{hold.__name__}" for hold, name in HELD])
def test_a_second_pair_that_something_else_needs_stays_and_says_so(hold: Callable[..., None], name: str) -> None:
    model = clean()
    plants.rounded_twice_alike(model)
    hold(model, name)
    before = model.SerializeToString()
    assert [finding.fixable for finding in lint(model) if finding.rule == "repeated-pair"] == [False]
    assert fix_(model) == 0
    assert model.SerializeToString() == before


def test_a_second_pair_of_two_scales_stays() -> None:
    model = clean()
    plants.rounded_twice_alike(model)
    find(model, "again_dq").input[1] = store(model, "doubled", 2 * stored(model, "again_scale"))
    assert [finding.fixable for finding in lint(model) if finding.rule == "repeated-pair"] == [False]
    assert fix_(model) == 0


def test_a_fix_that_changes_nothing_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    rules = [
        replace(rule, fix=lambda _, node: tried.append(node.name)) if rule.name == "repeated-pair" else rule
        for rule in linter.TARGETS["tensorrt"]
    ]
    monkeypatch.setitem(linter.TARGETS, "tensorrt", tuple(rules))
    model = clean()
    plants.rounded_twice_alike(model)
    assert fix_(model) == 0
    assert tried == ["again_q"]


def test_what_a_subgraph_alone_reads_stays_when_others_are_mended() -> None:
    import onnx

    model = clean()
    plants.bias_in_32_bits(model)
    read_in_a_subgraph(model, "rows_dq")
    before = answers(model)
    assert fix_(model) == 1
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(answers(model), before, rtol=1e-5, atol=1e-6)


def test_integers_that_move_to_a_subgraph_stay() -> None:
    model = clean()
    integers_that_move(model)
    read_in_a_subgraph(model, "row_dq")
    assert {finding.node: finding.fixable for finding in lint(model) if finding.rule == "tensor-type"}["row"] is False


@pytest.mark.parametrize("name", ["rows_q"])
def test_uint8_stays_where_not_all_of_it_can_be_shifted(name: str) -> None:
    import onnx

    model = clean()
    middle_of_uint8(model)
    read_in_a_subgraph(model, name)
    before = answers(model)
    found = {finding.node: finding.fixable for finding in lint(model) if finding.rule == "integer-type"}
    assert found["rows_q" if name == "rows_q" else "query.w_dq"] is False
    fix_(model)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(answers(model), before, rtol=1e-5, atol=1e-6)
