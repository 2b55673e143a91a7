"""Counts of a graph, against graphs that were made by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.operators import (
    INTEGER_OPERATORS,
    activation_products,
    integer_operator_count,
    operator_counts,
    parameter_count,
)
from tests import tiny

pytestmark = pytest.mark.export


def save(path: Path, operators: list[tuple[str, list[str], str]], **weights: np.ndarray) -> Path:
    """A graph of these operators with their inputs and output; it need not compute anything."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node(kind, inputs, [output], name=output) for kind, inputs, output in operators]
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", operators[-1][2])]
    onnx.save(helper.make_model(helper.make_graph(nodes, "graph", ends[:1], ends[1:], constants)), path)
    return path


def test_operators_are_counted_by_their_kind(tmp_path: Path) -> None:
    operators = [("MatMul", ["x", "w"], "a"), ("Add", ["a", "b"], "c"), ("MatMul", ["c", "w"], "d")]
    path = save(tmp_path / "model.onnx", operators, w=np.ones((2, 2)), b=np.ones(2))
    assert operator_counts(path) == Counter(MatMul=2, Add=1)
    assert integer_operator_count(path) == 0


@pytest.mark.parametrize("kind", sorted(INTEGER_OPERATORS))
def test_every_operator_that_multiplies_integers_counts(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / "model.onnx", [(kind, ["x", "w"], "a"), ("Add", ["a", "a"], "b"), (kind, ["b", "w"], "c")])
    assert integer_operator_count(path) == 2


def test_converting_to_integers_is_not_multiplying_them(tmp_path: Path) -> None:
    operators = [("DynamicQuantizeLinear", ["x"], "a"), ("DequantizeLinear", ["a", "s"], "b")]
    assert integer_operator_count(save(tmp_path / "model.onnx", operators, s=np.float32(1))) == 0


def test_parameters_are_weights_and_not_scalars_shapes_scales_or_zero_points(tmp_path: Path) -> None:
    path = save(
        tmp_path / "model.onnx",
        [("MatMulInteger", ["x", "w_quantized"], "y")],
        w_quantized=np.ones((3, 5), dtype=np.int8),
        w_scale=np.ones(5, dtype=np.float32),
        w_zero_point=np.zeros(5, dtype=np.int8),
        bias=np.ones(5, dtype=np.float32),
        half=np.float32(0.5),
        shape=np.array([1, -1, 5]),
    )
    assert parameter_count(path) == 3 * 5 + 5


def test_a_weight_that_is_stored_once_for_several_is_counted_for_each(tmp_path: Path) -> None:
    operators = [
        ("Identity", ["b"], "b2"),
        ("Identity", ["b2"], "b3"),
        ("Add", ["x", "b3"], "y"),
        ("Identity", ["y"], "z"),
    ]
    path = save(tmp_path / "model.onnx", operators, b=np.ones(7, dtype=np.float32))
    assert parameter_count(path) == 21


def test_products_of_two_activations_are_those_without_a_weight(tmp_path: Path) -> None:
    operators = [("MatMul", ["x", "w"], "q"), ("MatMul", ["q", "x"], "scores"), ("MatMul", ["w", "scores"], "y")]
    assert activation_products(save(tmp_path / "model.onnx", operators, w=np.ones((2, 2)))) == ["scores"]


def test_an_exported_model_has_the_parameters_of_its_torch_model_also_after_quantization(
    tmp_path: Path,
) -> None:
    from hfcompress.export.optimum import export_with_optimum
    from hfcompress.models.loading import load_model
    from hfcompress.quantize.api import quantize_onnx

    source = tiny.save_bert(tmp_path / "torch", layers=2, head=True)
    expected = sum(parameter.numel() for parameter in load_model(source, "text-classification").parameters())
    export_with_optimum(source, tmp_path / "onnx", "text-classification", None)
    assert parameter_count(model_file(tmp_path / "onnx")) == expected
    for per_channel in (True, False):
        quantize_onnx(tmp_path / "onnx", tmp_path / "int8", per_channel=per_channel)
        assert parameter_count(model_file(tmp_path / "int8")) == expected
