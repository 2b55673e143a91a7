"""A graph in float16: what becomes of weights, masks and inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hfcompress.errors import StageError
from hfcompress.onnx_graph.half import to_half

onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.export


def masked_softmax(weight: float, fill: float) -> Any:
    """softmax(w x + where(keep, 0, fill))."""
    inputs = [
        onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3]),
        onnx.helper.make_tensor_value_info("keep", onnx.TensorProto.BOOL, [2, 3]),
    ]
    nodes = [
        onnx.helper.make_node("Constant", [], ["fill"], value=onnx.numpy_helper.from_array(np.float32(fill))),
        onnx.helper.make_node("Mul", ["x", "w"], ["scores"]),
        onnx.helper.make_node("Where", ["keep", "zero", "fill"], ["mask"]),
        onnx.helper.make_node("Add", ["scores", "mask"], ["masked"]),
        onnx.helper.make_node("Softmax", ["masked"], ["y"], axis=-1),
    ]
    constants = {"w": np.float32([weight]), "zero": np.float32(0)}
    stored = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    outputs = [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 3])]
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs, stored)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("fill", [float(np.finfo(np.float32).min), -np.inf, -1e4])
def test_masks_go_on_masking_and_inputs_and_outputs_stay_float32(fill: float) -> None:
    batch = {
        "x": np.float32([[1, 2, 3], [30, -30, 4]]),
        "keep": np.array([[True, True, False], [True, False, True]]),
    }
    run = lambda model: onnxruntime.InferenceSession(  # noqa: E731
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    ).run(None, batch)[0]
    expected = run(masked_softmax(2.5, fill))
    half = to_half(masked_softmax(2.5, fill))
    onnx.checker.check_model(half)
    found = run(half)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert found[0, 2] == found[1, 1] == 0
    assert {tensor.data_type for tensor in half.graph.initializer} == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("weight", [70_000.0, -70_000.0, np.inf, np.nan])
def test_a_weight_that_float16_cannot_hold_is_named(weight: float) -> None:
    with pytest.raises(StageError, match=r"`w` holds .*float16 ends at 65504; leave the export in fp32"):
        to_half(masked_softmax(weight, -1e4))
    to_half(masked_softmax(65_504.0, -1e4))
