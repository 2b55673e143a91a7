"""The rewrite of exported Q/DQ graphs: the same answers, integers in the file, integer operators after optimization."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hfcompress.models.fake_quant import calibrate_, exporting, insert_fake_quant_
from hfcompress.models.fake_quant.insert import twins
from hfcompress.onnx_graph.integer_weights import _module_of, store_integer_weights_
from hfcompress.onnx_graph.placement import in_floating_point, placement
from tests.models.fake_quant.rounding import MinMax, scheme

pytestmark = pytest.mark.export
LAYERS = ("table", "first", "second", "blocks.0", "blocks.1", "head")


class Net(nn.Module):
    """A lookup, two layers of one input, a Sequential, and a head on rows."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 16)
        self.first, self.second = nn.Linear(16, 8), nn.Linear(16, 8, bias=False)
        self.blocks = nn.Sequential(nn.Linear(8, 12), nn.Linear(12, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.table(ids)
        return self.head(self.blocks(self.first(hidden).tanh() * self.second(hidden))[:, 0])


def exported(**kind: Any) -> tuple[Any, Any, torch.Tensor]:
    """A fake-quantized `Net`, its graph as the exporter writes it, and the ids that it was calibrated on."""
    import onnx

    torch.manual_seed(0)
    model, ids = Net().eval(), torch.randint(30, (6, 5))
    insert_fake_quant_(model, scheme(**kind))
    calibrate_(model, [{"ids": ids}], MinMax)
    file = io.BytesIO()
    axes = {"ids": {0: "rows", 1: "tokens"}}
    with exporting(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its successor
        torch.onnx.export(model, (ids,), file, input_names=["ids"], dynamic_axes=axes, opset_version=17, dynamo=False)
    return model, onnx.load_from_string(file.getvalue()), ids


def answers(model: Any, ids: torch.Tensor) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"ids": ids.numpy()})[0]
    return found


KINDS: list[dict[str, Any]] = [{}, {"per_channel": False}, {"bits": 7}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_rewritten_graph_answers_as_the_exported_one_and_as_pytorch(kind: dict[str, Any]) -> None:
    import onnx

    model, graph, ids = exported(**kind)
    before = answers(graph, ids)
    assert set(store_integer_weights_(graph)) == set(LAYERS)
    onnx.checker.check_model(graph, full_check=True)
    with torch.inference_mode():
        np.testing.assert_allclose(before, model(ids), atol=1e-5)
    # The bias of the head is rounded to a step of its product, which is far below one of its inputs.
    np.testing.assert_allclose(answers(graph, ids), before, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_file_holds_the_integers_of_every_weight_and_no_float_weight(kind: dict[str, Any]) -> None:
    from onnx.numpy_helper import to_array

    model, graph, _ = exported(**kind)
    store_integer_weights_(graph)
    stored = {tensor.name: to_array(tensor) for tensor in graph.graph.initializer}
    for name, twin in twins(model).items():
        scale = twin.weight_quantizer.scale.detach().double().view(-1, 1)
        limits = (-64, 63) if kind.get("bits") == 7 else (-128, 127)
        expected = (twin.weight.detach().double() / scale).round().clamp(*limits).numpy()
        found = stored[f"{name}.weight_quantized"]
        assert found.dtype == np.int8
        turned = found if name in ("table", "head") else found.T
        np.testing.assert_array_equal(turned, expected, err_msg=name)
    floats = [name for name, values in stored.items() if values.dtype == np.float32 and values.ndim > 1]
    assert floats == []


def test_what_is_rounded_once_is_quantized_once() -> None:
    _, graph, _ = exported()
    store_integer_weights_(graph)
    counts = Counter(node.op_type for node in graph.graph.node)
    assert counts["QuantizeLinear"] == 4, "first and second share their input; the table has none"
    assert counts["Transpose"] == 0


def test_every_layer_becomes_an_integer_operator(tmp_path: Path) -> None:
    import onnx

    _, graph, _ = exported()
    store_integer_weights_(graph)
    onnx.save(graph, tmp_path / "model.onnx")
    placed = placement(tmp_path / "model.onnx", [*LAYERS, "elsewhere"])
    assert in_floating_point(placed) == {}
    assert placed["table"] == "Gather"
    assert placed["head"] == "QGemm"
    assert {placed[name] for name in LAYERS[1:5]} == {"MatMulIntegerToFloat"}
    assert placed["elsewhere"] == "unused"


def test_a_layer_that_stays_in_floating_point_is_named(tmp_path: Path) -> None:
    import onnx

    _, graph, _ = exported()
    store_integer_weights_(graph)
    nodes = graph.graph.node
    read = next(node for node in nodes if "second.weight_quantized" in node.input).output[0]
    place, product = next((place, node) for place, node in enumerate(nodes) if read in node.input)
    product.input[1] = "between"
    nodes.insert(place, onnx.helper.make_node("Relu", [read], ["between"]))
    onnx.save(graph, tmp_path / "model.onnx")
    assert in_floating_point(placement(tmp_path / "model.onnx", LAYERS)) == {"second": "DequantizeLinear"}


@pytest.mark.parametrize(
    "scope, module",
    [
        ("/bert/encoder/layer.0/attention/self", "bert.encoder.layer.0.attention.self"),
        ("/resnet/encoder/stages.1/layers/layers.0/layer/layer.1", "resnet.encoder.stages.1.layers.0.layer.1"),
    ],
)
def test_the_exporters_scopes_are_names_of_modules(scope: str, module: str) -> None:
    assert _module_of(scope) == module
