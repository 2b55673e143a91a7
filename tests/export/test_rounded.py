"""What is trained for INT8 is what is shipped: fake-quantized models as Q/DQ graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hfcompress.artifact import Artifact
from hfcompress.errors import InputError, NumericalMismatchError, StageError
from hfcompress.export import rounded as rounded_module
from hfcompress.export.optimum import export_with_optimum
from hfcompress.export.rounded import check_placement
from hfcompress.export.stage import export
from hfcompress.models.fake_quant import calibrate_, fold_batch_norm_, insert_fake_quant_
from hfcompress.models.fake_quant.folder import read_structure
from hfcompress.models.loading import load_model, save_model
from hfcompress.recipe.stages import ExportConfig
from hfcompress.recipe.tasks import TaskName
from hfcompress.stage import Inputs
from hfcompress.tasks import get_task
from tests import tiny
from tests.export.test_stage import make_run
from tests.models.conftest import inputs, make
from tests.models.fake_quant.rounding import MinMax, scheme

pytestmark = pytest.mark.export


def fake_quantized(
    folder: Path, family: str, head: bool | str = True, task: TaskName = "text-classification", **kind: Any
) -> Path:
    """A folder of a tiny fake-quantized model that is calibrated on noise."""
    model = make(family, head=head)
    get_task(task).adapt_(model)
    model.config.id2label = dict(enumerate(map(str, range(3))))
    fold_batch_norm_(model)
    insert_fake_quant_(model, scheme(**kind))
    calibrate_(model, [inputs(model)], MinMax)
    processor = tiny.make_tokenizer()
    if model.main_input_name == "pixel_values":
        processor = get_task("image-classification").load_processor(tiny.save_vit(folder / "vit"))
    save_model(model, processor, folder)
    return folder


CASES: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    # Six layers in each of four blocks, pooler and head; three tables.
    ("bert", {"products": True}, {"MatMulIntegerToFloat": 28, "QLinearMatMul": 4, "QGemm": 2, "Gather": 3}),
    ("distilbert", {"bits": 7, "per_channel": False}, {"MatMulIntegerToFloat": 24, "QGemm": 2, "Gather": 2}),
    ("vit", {"learned": False}, {"MatMulIntegerToFloat": 24, "QGemm": 1, "QLinearConv": 1}),
    ("resnet", {}, {"QLinearConv": 13, "QGemm": 1}),
]


@pytest.mark.parametrize("family, kind, operators", CASES, ids=[case[0] for case in CASES])
def test_the_graph_answers_as_the_fake_quantized_model_and_every_layer_is_an_integer_operator(
    family: str, kind: dict[str, Any], operators: dict[str, int], reviews: Path, digits: Path, tmp_path: Path
) -> None:
    images = family in ("vit", "resnet")
    task: TaskName = "image-classification" if images else "text-classification"
    source = fake_quantized(tmp_path / "source", family, **kind)
    run = make_run(tmp_path, digits if images else reviews, task)
    made = export(ExportConfig(), Inputs(Artifact(source, "torch")), run)
    details = made.details
    assert details is not None
    assert details["rows"] == details["decisions"] == 32
    assert details["decisions_that_differ"] <= 2
    assert details["largest_difference"] <= details["tolerance"]
    assert details["operators"] == operators
    assert details["integer_layers"] == sum(operators.values())
    assert (details["first_token_nodes"] > 0) == (family != "resnet"), "the last layer is computed for one token"
    assert {path.name for path in run.out.iterdir()} >= {"model.onnx", "config.json"}


def test_a_graph_of_other_integers_is_refused(reviews: Path, tmp_path: Path) -> None:
    import onnx

    source = fake_quantized(tmp_path / "source", "bert")
    run = make_run(tmp_path / "run", reviews)
    export_with_optimum(source, run.out, run.task, None)
    structure = read_structure(source)
    assert structure is not None
    artifact, graph = Artifact(source, "torch"), run.out / "model.onnx"
    rounded_module.prove_rounded(artifact, structure, graph, run, None)
    model = onnx.load(graph)
    weight = next(each for each in model.graph.initializer if each.name == "classifier.weight_quantized")
    values = onnx.numpy_helper.to_array(weight).copy()
    weight.CopyFrom(onnx.numpy_helper.from_array(-values, weight.name))
    onnx.save(model, graph)
    with pytest.raises(NumericalMismatchError, match="`logits` differs from that of the fake-quantized model"):
        rounded_module.prove_rounded(artifact, structure, graph, run, None)


def test_a_layer_that_is_no_integer_operator_fails_the_stage_by_name(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    source = fake_quantized(tmp_path / "source", "distilbert")
    export_with_optimum(source, tmp_path / "out", "text-classification", None)
    structure = read_structure(source)
    assert structure is not None
    graph = tmp_path / "out" / "model.onnx"
    assert set(check_placement(graph, structure)) == set(structure.planned)
    model = onnx.load(graph)
    layer = "distilbert.transformer.layer.2.ffn.lin1"
    nodes = model.graph.node
    read = next(node for node in nodes if f"{layer}.weight_quantized" in node.input).output[0]
    place, product = next((place, node) for place, node in enumerate(nodes) if read in node.input)
    product.input[1] = "between"
    nodes.insert(place, onnx.helper.make_node("Relu", [read], ["between"]))
    onnx.save(model, graph)
    with pytest.raises(StageError, match=rf"1 of \d+ layers did not become integer .*: {layer} \(DequantizeLinear\)"):
        check_placement(graph, structure)


@pytest.mark.parametrize("task, head", [("masked-lm", "ForMaskedLM"), ("feature-extraction", "Model")])
def test_other_tasks_and_tied_weights(task: TaskName, head: str, tmp_path: Path) -> None:
    from hfcompress.onnx_graph.placement import in_floating_point, placement
    from hfcompress.runtimes.onnxruntime import OnnxRuntime
    from hfcompress.runtimes.torch import TorchRuntime

    source = fake_quantized(tmp_path / "source", "bert", head, task)
    export_with_optimum(source, tmp_path / "out", task, None)
    structure = read_structure(source)
    assert structure is not None
    placed = placement(tmp_path / "out" / "model.onnx", structure.planned)
    assert in_floating_point(placed) == {}
    assert "unused" not in placed.values()
    batch = {name: tensor.numpy() for name, tensor in inputs(load_model(source, task)).items()}
    batch["token_type_ids"] = np.zeros_like(batch["input_ids"])
    ours, theirs = TorchRuntime(source, task, threads=1).predict(batch), OnnxRuntime(tmp_path / "out").predict(batch)
    for name, values in ours.items():
        np.testing.assert_allclose(theirs[name], values, atol=0.1 * values.std())


@pytest.mark.parametrize("per_channel, opset, lowest", [(True, 12, 13), (False, 9, 10)])
def test_an_operator_set_without_the_operators_is_refused_with_the_lowest_that_has_them(
    per_channel: bool, opset: int, lowest: int, tmp_path: Path
) -> None:
    source = fake_quantized(tmp_path / "source", "distilbert", per_channel=per_channel)
    with pytest.raises(InputError, match=rf"opset is {opset}, and Q/DQ .*needs {lowest}; leave `opset` out"):
        export_with_optimum(source, tmp_path / "out", "text-classification", opset)


def test_export_onnx_takes_a_fake_quantized_folder(tmp_path: Path) -> None:
    from hfcompress import export_onnx

    source = fake_quantized(tmp_path / "source", "distilbert")
    examples = ["good", "word1 bad word2"] * 5
    assert export_onnx(source, tmp_path / "onnx", examples=examples).batches == 10 + 2
    with pytest.raises(NumericalMismatchError, match="fake-quantized model"):
        export_onnx(source, tmp_path / "onnx", examples=examples, tolerance=1e-12)


def test_a_model_quantizes_as_before_after_it_was_exported() -> None:
    from hfcompress.models.fake_quant import exporting
    from tests.models.conftest import outputs
    from tests.models.fake_quant.rounding import rounded

    model = rounded("bert", products=True, bits=7)
    before, names = outputs(model), set(model.state_dict())
    with exporting(model):
        assert torch.equal(outputs(model), before)
    assert torch.equal(outputs(model), before)
    assert set(model.state_dict()) == names
