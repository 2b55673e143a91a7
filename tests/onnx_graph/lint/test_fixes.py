"""What `fix_` mends: the fault is gone, no other has come, and the answers are those of ONNX Runtime before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.lint import fix_, lint
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
