"""Sizes that are known before: the same answers without asking for them, and no change where they are not known."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from hfcompress.onnx_graph.constant_factors import fold_factors_
from hfcompress.onnx_graph.static_shapes import fix_shapes_
from tests import tiny
from tests.onnx_graph.test_first_token import assert_equal_answers, copy_of, export, node, run, save_family, text

pytestmark = pytest.mark.export


def operators(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
def test_text_classifiers_answer_alike_without_asking_for_sizes(family: str, tmp_path: Path) -> None:
    import onnx

    before = export(save_family(family, tmp_path / "torch"), tmp_path / "onnx")
    after = copy_of(before)
    assert fix_shapes_(after) > 40
    scaled = operators(after)["Mul"] + operators(after)["Div"]
    assert fold_factors_(after) >= 2, "queries of two layers are scaled in their weights"
    assert operators(after)["Mul"] + operators(after)["Div"] < scaled
    onnx.checker.check_model(after, full_check=True)
    assert operators(after)["Sqrt"] == 0, "no scale is computed"
    known = {tensor.name for tensor in after.graph.initializer}
    known |= {each.output[0] for each in after.graph.node if each.op_type == "Constant"}
    heads = [each for each in after.graph.node if each.op_type == "Reshape" and "layer" in each.name]
    assert len(heads) == 8
    assert all(each.input[1] in known for each in heads)
    assert_equal_answers(before, after, [text(1, 5), text(3, 17), text(8, 40), text(2, 1)])


def test_a_vit_answers_alike(vit: Path, tmp_path: Path) -> None:
    from hfcompress.models.loading import load_model, save_model
    from hfcompress.tasks import get_task

    model = load_model(vit, "image-classification", labels=tiny.classes("cat", "dog"))
    save_model(model, get_task("image-classification").load_processor(vit), tmp_path / "torch")
    before = export(tmp_path / "torch", tmp_path / "onnx", "image-classification")
    after = copy_of(before)
    assert fix_shapes_(after) > 40
    assert fold_factors_(after) > 0
    pixels = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    assert_equal_answers(before, after, [{"pixel_values": pixels}, {"pixel_values": pixels[:1]}])


def graph(nodes: list[Any], shape: list[Any], constants: dict[str, Any]) -> Any:
    """A graph over x, whose output is y."""
    from onnx import TensorProto, helper, numpy_helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(np.array(values), name) for name, values in constants.items()]
    made = helper.make_graph(nodes, "graph", [x], [y], stored)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def joined(*sizes: str) -> list[Any]:
    """x reshaped to some of its own sizes, by their places."""
    return [
        node("Shape", "x", "shape"),
        *(node("Gather", f"shape {size}", f"size_{size}") for size in sizes),
        node("Concat", " ".join(f"size_{size}" for size in sizes), "target", axis=0),
        node("Reshape", "x target", "y"),
    ]


PLACES = {"first": [0], "second": [1], "third": [2], "fourth": [3]}


def test_a_size_that_is_kept_and_one_that_follows() -> None:
    before = graph(joined("first", "second", "third"), ["rows", "tokens", 6], PLACES)
    after = copy_of(before)
    assert fix_shapes_(after) == 5
    assert [each.op_type for each in after.graph.node] == ["Reshape"]
    assert_equal_answers(before, after, [{"x": np.ones((2, 3, 6), np.float32)}, {"x": np.ones((1, 1, 6), np.float32)}])


def test_sizes_that_change_places_are_left_alone() -> None:
    """(rows, tokens) to (tokens, rows): nothing that is constant says so."""
    before = graph(joined("second", "first", "third"), ["rows", "tokens", 6], PLACES)
    after = copy_of(before)
    fix_shapes_(after)
    x = np.arange(36, dtype=np.float32).reshape(2, 3, 6)
    assert run(after, {"x": x})["y"].shape == (3, 2, 6)
    assert_equal_answers(before, after, [{"x": x}])


def test_fixed_sizes_are_constants() -> None:
    nodes = [
        node("Shape", "x", "shape"),
        node("Slice", "shape last end", "width"),
        node("Cast", "width", "number", to=1),
        node("Sqrt", "number", "root"),
        node("Div", "x root", "y"),
    ]
    before = graph(nodes, ["rows", 16], {"last": [-1], "end": [9223372036854775807]})
    after = copy_of(before)
    assert fix_shapes_(after) == 4
    assert_equal_answers(before, after, [{"x": np.ones((2, 16), np.float32)}])


def test_a_graph_without_sizes_to_fix_is_left_alone() -> None:
    model = graph([node("Relu", "x", "y")], ["rows", 16], {})
    before = model.SerializeToString()
    assert fix_shapes_(model) == 0
    assert model.SerializeToString() == before


@pytest.mark.parametrize(
    "nodes, folded",
    [
        ([node("MatMul", "x w", "q"), node("Mul", "q two", "s")], 1),
        ([node("MatMul", "x w", "q"), node("Mul", "two q", "s")], 1),
        ([node("MatMul", "x w", "q"), node("Div", "q two", "s")], 1),
        ([node("MatMul", "x w", "q"), node("Div", "two q", "s")], 0),
        ([node("MatMul", "x w", "p"), node("Add", "p bias", "q"), node("Mul", "q two", "s")], 1),
        ([node("MatMul", "x w", "q"), node("Mul", "q zero", "s")], 0),
        ([node("Relu", "x", "q"), node("Mul", "q two", "s")], 0),
    ],
)
def test_a_factor_goes_into_the_weight_and_bias_that_made_what_it_scales(nodes: list[Any], folded: int) -> None:
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(size=(4, 4)).astype(np.float32), "bias": rng.normal(size=4).astype(np.float32)}
    constants |= {"two": np.array(2, np.float32), "zero": np.array(0, np.float32)}
    before = graph([*nodes, node("MatMul", "s x", "y")], ["rows", 4, 4], constants)
    after = copy_of(before)
    assert fold_factors_(after) == folded
    assert len(after.graph.node) == len(before.graph.node) - folded
    assert_equal_answers(before, after, [{"x": rng.uniform(0.5, 1, (2, 4, 4)).astype(np.float32)}])


def test_a_factor_that_something_else_would_lose_stays() -> None:
    constants = {"w": np.eye(4, dtype=np.float32), "two": np.array(2, np.float32)}
    read_twice = [node("MatMul", "x w", "q"), node("Mul", "q two", "s"), node("MatMul", "s q", "y")]
    assert fold_factors_(graph(read_twice, ["rows", 4, 4], constants)) == 0
    added = [node("MatMul", "x w", "q"), node("Mul", "q two", "s"), node("Add", "s x", "y")]
    assert fold_factors_(graph(added, ["rows", 4, 4], constants)) == 0
