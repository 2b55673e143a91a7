"""What `fix_` mends: the fault is gone, no other has come, and the answers are those of ONNX Runtime before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.lint import fix_, lint
from tests.onnx_graph.lint import test_rules as plants
from tests.onnx_graph.lint.crafted import clean, find, insert, insert_pair, store, stored

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


def weight_of_two_products(model: Any) -> None:
    """A layer that is there twice, with one stored weight and its one DQ."""
    plants.stored_as_integers(model)
    find(model, "query.add").input[0] = insert(model, "query.add", "MatMul", ["query_dq", "turned"], "twice")
    insert_pair(model, "twice", "query", "query")


def weight_whose_zero_point_is_not_named(model: Any) -> None:
    plants.stored_as_integers(model)
    del find(model, "query.w_dq").input[2]


EXACT = [
    integers_that_move,
    weight_of_two_products,
    weight_whose_zero_point_is_not_named,
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


def test_a_bias_that_is_quantized_and_then_reshaped_keeps_its_shape() -> None:
    import onnx

    model = clean()
    rows = store(model, "rows_of_bias", np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 16))
    insert_pair(model, "query.add", rows, "bias", 0.03)
    insert(model, "bias_dq", "Reshape", ["bias_q", store(model, "flat_shape", np.array([-1]))], "moved")
    find(model, "bias_dq").input[0] = "moved"
    find(model, "query.add").input[1] = "bias_dq"
    assert {finding.rule: finding.fixable for finding in lint(model)}["bias"] is False  # but once DQ stands first
    fix_(model)
    onnx.checker.check_model(model, full_check=True)
    assert lint(model) == ()
    assert np.array_equal(answers(model), answers(clean()))


def newer(model: Any) -> None:
    """To a version of ONNX with other types, and blocks."""
    model.opset_import[0].version, model.ir_version = 21, 10


def in_fp8(model: Any) -> None:
    """A weight and a bias that are stored as FP8."""
    import ml_dtypes

    newer(model)
    plants.stored_as_integers(model)
    kind, weight = ml_dtypes.float8_e4m3fn, stored(model, "query.w")
    store(model, "query.w_scale", np.full(16, 0.01, np.float32))
    store(model, "query.w_zero", np.zeros(16, kind))
    store(model, "integers", (weight / 0.01).astype(kind))
    parameters = [store(model, "bias_scale", np.float32(0.5)), store(model, "bias_zero", kind(0))]
    bias = store(model, "bias_fp8", np.linspace(-1, 1, 4).astype(kind))
    find(model, "stem").input[2] = insert(model, "stem", "DequantizeLinear", [bias, *parameters], "bias_dq")


def test_numbers_of_fp8_keep_their_fractions() -> None:
    model = clean()
    in_fp8(model)
    before, weight = answers(model), stored(model, "integers")
    assert [finding.rule for finding in lint(model)] == ["bias"]
    assert fix_(model) == 1
    assert lint(model) == ()
    assert np.array_equal(stored(model, "integers"), weight)
    np.testing.assert_allclose(answers(model), before, rtol=1e-5, atol=1e-6)
