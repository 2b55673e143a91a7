"""Each rule finds the fault that is planted for it, at its node, and no rule finds anything in a clean graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.lint import lint
from hfcompress.onnx_graph.lint.rules import TENSORRT
from tests.onnx_graph.lint.crafted import clean, find, insert, insert_pair, pass_by, store, stored

pytestmark = pytest.mark.export
Plant = Callable[[Any], None]


def old_operators(model: Any) -> None:
    model.opset_import[0].version = 8


def no_axes_yet(model: Any) -> None:
    model.opset_import[0].version = 12


def found_at_run_time(model: Any) -> None:
    insert(model, "logits", "DynamicQuantizeLinear", ["flat"], "dynamic", also=["dynamic_scale", "dynamic_zero"])


def integers_inside(model: Any) -> None:
    node = find(model, "once")
    node.op_type = "QLinearConv"
    node.input[:] = ["pool_q", "pool_scale", "pool_zero", "once.w_q", "once.w_scale", "once.w_zero"]
    node.input.extend(["pool_scale", "pool_zero"])
    insert(model, "sum", "DequantizeLinear", ["once", "pool_scale", "pool_zero"], "once_dq")
    find(model, "sum").input[0] = "once_dq"


def unheard_of(model: Any) -> None:
    find(model, "relu").op_type = "Relu6"


def not_read(model: Any) -> None:
    find(model, "relu").op_type = "Det"


def of_another_domain(model: Any) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)
    find(model, "relu").domain = "com.microsoft"


def in_a_subgraph(model: Any) -> None:
    from onnx import TensorProto, helper

    output = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Det", ["flat"], ["inner"], name="deep")], "body", [], [output])
    store(model, "condition", np.array(True))
    insert(model, "logits", "If", ["condition"], "if", then_branch=body, else_branch=body)


def axes_that_are_computed(model: Any) -> None:
    insert(model, "logits", "Shape", ["flat"], "axes")
    insert(model, "logits", "ReduceSum", ["flat", "axes"], "reduced")


def indices_of_a_pool(model: Any) -> None:
    find(model, "pool").output.append("indices")
    insert(model, "logits", "Identity", ["indices"], "read")


def integers_that_are_looked_up(model: Any) -> None:
    store(model, "table", np.zeros((5, 3), dtype=np.int8))
    insert(model, "logits", "Gather", ["table", store(model, "row", np.array([1]))], "looked_up")


def unsigned(model: Any) -> None:
    store(model, "rows_zero", np.uint8(0))


def unsigned_because_nothing_is_said(model: Any) -> None:
    del find(model, "rows_q").input[2]


def words(model: Any) -> None:
    model.opset_import[0].version = 21
    store(model, "rows_zero", np.int16(0))


def asymmetric(model: Any) -> None:
    store(model, "rows_zero", np.int8(3))


def zero_scale(model: Any) -> None:
    scales = stored(model, "head.w_scale").copy()
    scales[1] = 0
    store(model, "head.w_scale", scales)


def scale_that_is_computed(model: Any) -> None:
    parameters = [insert(model, "rows_q", "ReduceMax", ["rows"], "largest", keepdims=0), "rows_zero"]
    for name in ("rows_q", "rows_dq"):
        find(model, name).input[1:] = parameters


def scales_of_another_size(model: Any) -> None:
    for part, kind in (("scale", np.float32), ("zero", np.int8)):
        store(model, f"head.w_{part}", np.zeros(3, kind) + kind(part == "scale"))


def axis_that_is_not_written(model: Any) -> None:
    store(model, "head.w", stored(model, "head.w").T)
    for name in ("head.w_q", "head.w_dq", "logits"):  # the axis of the scales, and transB
        del find(model, name).attribute[:]


def channels_of_an_activation(model: Any) -> None:
    from onnx import helper

    store(model, "rows_scale", np.full(16, 0.05, dtype=np.float32))
    store(model, "rows_zero", np.zeros(16, dtype=np.int8))
    for name in ("rows_q", "rows_dq"):
        find(model, name).attribute.append(helper.make_attribute("axis", 2))


def channels_of_the_wrong_axis(model: Any) -> None:
    for name in ("query.w_q", "query.w_dq"):
        find(model, name).attribute[0].i = 1


def bias_in_32_bits(model: Any) -> None:
    scale, zero = store(model, "bias_scale", np.float32(0.01)), store(model, "bias_zero", np.int32(0))
    integers = store(model, "bias_integers", np.arange(4, dtype=np.int32))
    find(model, "stem").input[2] = insert(model, "stem", "DequantizeLinear", [integers, scale, zero], "bias_dq")


def bias_in_8_bits(model: Any) -> None:
    find(model, "query.add").input[1] = insert_pair(model, "query.add", "query.b", "bias", 0.03)


def weight_in_float(model: Any) -> None:
    pass_by(model, "query.w")


def activation_in_float(model: Any) -> None:
    pass_by(model, "norm")


def rounded_softmax(model: Any) -> None:
    find(model, "softmax").input[0] = insert_pair(model, "softmax", "scores", "scores")


def rounded_layer_norm(model: Any) -> None:
    find(model, "norm").input[0] = insert_pair(model, "norm", "query.add", "sum")


def rounded_layer_norm_that_is_written_out(model: Any) -> None:
    rounded = insert_pair(model, "norm", "query.add", "sum")
    insert(model, "norm", "ReduceMean", [rounded], "mean", axes=[-1])
    find(model, "norm").input[0] = insert(model, "norm", "Sub", [rounded, "mean"], "centred")


def rounded_twice(model: Any) -> None:
    find(model, "query").input[0] = insert_pair(model, "query", "rows_dq", "again", 0.07)


def rounded_twice_alike(model: Any) -> None:
    find(model, "query").input[0] = insert_pair(model, "query", "rows_dq", "again", float(stored(model, "rows_scale")))


def stored_as_integers(model: Any) -> None:
    weight, scale = stored(model, "query.w"), stored(model, "query.w_scale")
    find(model, "query.w_dq").input[0] = store(model, "integers", np.rint(weight / scale[:, None]).astype(np.int8))
    model.graph.node.remove(find(model, "query.w_q"))


def residual_in_float(model: Any) -> None:
    pass_by(model, "kept")


#: Rule, where, and what is planted.
PLANTED: list[tuple[str, str, Plant]] = [
    ("opset", "graph", old_operators),
    ("opset", "graph", no_axes_yet),
    ("dynamic-quantization", "dynamic", found_at_run_time),
    ("integer-operator", "once", integers_inside),
    ("operator", "relu", unheard_of),
    ("operator", "relu", not_read),
    ("operator", "relu", of_another_domain),
    ("operator", "deep", in_a_subgraph),
    ("restriction", "reduced", axes_that_are_computed),
    ("restriction", "pool", indices_of_a_pool),
    ("tensor-type", "looked_up", integers_that_are_looked_up),
    ("integer-type", "rows_q", unsigned),
    ("integer-type", "rows_q", unsigned_because_nothing_is_said),
    ("integer-type", "rows_q", words),
    ("zero-point", "rows_q", asymmetric),
    ("scale", "head.w_q", zero_scale),
    ("scale", "rows_q", scale_that_is_computed),
    ("scale", "head.w_q", scales_of_another_size),
    ("axis", "head.w_q", axis_that_is_not_written),
    ("activation-channels", "rows_q", channels_of_an_activation),
    ("weight-channels", "query", channels_of_the_wrong_axis),
    ("bias", "stem", bias_in_32_bits),
    ("bias", "query", bias_in_8_bits),
    ("half-quantized", "query", weight_in_float),
    ("half-quantized", "scores", activation_in_float),
    ("float-operator", "scores_dq", rounded_softmax),
    ("float-operator", "sum_dq", rounded_layer_norm),
    ("float-operator", "sum_dq", rounded_layer_norm_that_is_written_out),
    ("repeated-pair", "again_q", rounded_twice),
    ("repeated-pair", "again_q", rounded_twice_alike),
    ("stored-integers", "query", stored_as_integers),
    ("residual", "sum", residual_in_float),
]


def test_nothing_is_found_in_a_clean_graph() -> None:
    assert lint(clean()) == ()


@pytest.mark.parametrize(("rule", "node", "plant"), PLANTED, ids=[plant.__name__ for _, _, plant in PLANTED])
def test_a_planted_fault_is_found_by_its_rule_at_its_node_and_by_no_other(rule: str, node: str, plant: Plant) -> None:
    model = clean()
    plant(model)
    found = lint(model)
    assert {finding.rule for finding in found} == {rule}
    assert node in {finding.node for finding in found}
    for finding in found:
        assert finding.what
        assert finding.source
        assert finding.cure


def test_a_fault_is_planted_for_every_rule_but_that_of_sizes() -> None:
    assert {rule for rule, _, _ in PLANTED} == {rule.name for rule in TENSORRT} - {"profile"}
    assert len({rule.name for rule in TENSORRT}) == len(TENSORRT)


def test_errors_come_before_advice() -> None:
    model = clean()
    residual_in_float(model)
    asymmetric(model)
    assert [finding.severity for finding in lint(model)] == ["error", "advice"]
