"""What `fix_` does not touch, since something else needs it or its numbers are not known here, and says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.lint import fix_, lint, linter
from tests.onnx_graph.lint import test_fixes as fixes
from tests.onnx_graph.lint import test_rules as plants
from tests.onnx_graph.lint.crafted import clean, find, insert, store, stored

pytestmark = pytest.mark.export


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
    before = fixes.answers(model)
    assert fix_(model) == 1
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(fixes.answers(model), before, rtol=1e-5, atol=1e-6)


def test_integers_that_move_to_a_subgraph_stay() -> None:
    model = clean()
    fixes.integers_that_move(model)
    read_in_a_subgraph(model, "row_dq")
    assert {finding.node: finding.fixable for finding in lint(model) if finding.rule == "tensor-type"}["row"] is False


@pytest.mark.parametrize("name", ["rows_q", "integers"])
def test_uint8_stays_where_not_all_of_it_can_be_shifted(name: str) -> None:
    import onnx

    model = clean()
    fixes.middle_of_uint8(model)
    read_in_a_subgraph(model, name)
    before = fixes.answers(model)
    found = {finding.node: finding.fixable for finding in lint(model) if finding.rule == "integer-type"}
    assert found["rows_q" if name == "rows_q" else "query.w_dq"] is False
    fix_(model)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(fixes.answers(model), before, rtol=1e-5, atol=1e-6)


def weight_that_moves_first(model: Any) -> None:
    """A stored weight that is turned before it is dequantized."""
    plants.stored_as_integers(model)
    for name in ("turned", "query.w_dq"):
        model.graph.node.remove(find(model, name))
    insert(model, "query", "Transpose", ["integers"], "turned", perm=[1, 0])
    parameters = ["query.w_scale", "query.w_zero"]
    find(model, "query").input[1] = insert(
        model, "query", "DequantizeLinear", ["turned", *parameters], "query.w_dq", axis=1
    )


def weight_of_blocks(model: Any) -> None:
    """A weight in INT4 with one scale for each 8 of its 16 rows."""
    import ml_dtypes

    fixes.newer(model)
    plants.stored_as_integers(model)
    store(model, "integers", (stored(model, "integers") // 16).astype(ml_dtypes.int4))
    store(model, "query.w_scale", np.linspace(0.01, 0.1, 32, dtype=np.float32).reshape(2, 16))
    store(model, "query.w_zero", np.zeros((2, 16), ml_dtypes.int4))
    model.graph.node.remove(find(model, "query.w_dq"))
    parameters = ["query.w_scale", "query.w_zero"]
    insert(model, "turned", "DequantizeLinear", ["integers", *parameters], "query.w_dq", axis=0, block_size=8)


def bias_that_moves_first(model: Any) -> None:
    plants.bias_in_32_bits(model)
    model.graph.node.remove(find(model, "bias_dq"))
    moved = insert(model, "stem", "Reshape", ["bias_integers", store(model, "flat_shape", np.array([-1]))], "moved")
    insert(model, "stem", "DequantizeLinear", [moved, "bias_scale", "bias_zero"], "bias_dq")


MOVED = [
    ("stored-integers", weight_that_moves_first),
    ("stored-integers", weight_of_blocks),
    ("bias", bias_that_moves_first),
]


@pytest.mark.parametrize(("rule", "plant"), MOVED, ids=[plant.__name__ for _, plant in MOVED])
def test_what_cannot_be_dequantized_here_stays_and_says_so(rule: str, plant: plants.Plant) -> None:
    model = clean()
    plant(model)
    fixes.answers(model)
    before = model.SerializeToString()
    assert [finding.fixable for finding in lint(model) if finding.rule == rule] == [False]
    assert fix_(model) == 0
    assert model.SerializeToString() == before
