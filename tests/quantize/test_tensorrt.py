"""INT8 for TensorRT, after training and by training: the linter finds nothing in it, and the answers stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.lint import lint, quantized_products
from hfcompress.quantize.static import calibrate, quantize_static
from hfcompress.quantize.targets import SCHEMES
from hfcompress.recipe.quantization import Calibration
from hfcompress.recipe.training_stages import QatConfig
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from tests import tiny
from tests.models.conftest import inputs, make, outputs

pytestmark = pytest.mark.export
TENSORRT = SCHEMES["tensorrt"]
#: Family -> its sizes, and its products with a weight.
FAMILIES: dict[str, tuple[dict[str, int], int]] = {
    "bert": ({"num_hidden_layers": 2}, 6 * 2 + 2),
    "distilbert": ({"n_layers": 2}, 6 * 2 + 2),
    "vit": ({"num_hidden_layers": 2}, 6 * 2 + 2),
    "resnet": ({}, 13 + 1),
    "clip": ({}, 6 * 2 + 2),
}


def model_of(family: str) -> Any:
    """A random model with a head for three labels."""
    if family != "clip":
        return make(family, **FAMILIES[family][0])
    import transformers

    torch.manual_seed(0)
    vision = {**tiny.TINY, "num_hidden_layers": 2, "image_size": 16, "patch_size": 4}
    config = transformers.CLIPConfig(vision_config=vision, num_labels=3)
    return transformers.CLIPForImageClassification(config).eval()


def save(model: Any, folder: Path) -> Path:
    from hfcompress.models.loading import save_model
    from hfcompress.tasks import get_task

    processor: Any = tiny.make_tokenizer()
    if model.main_input_name == "pixel_values":
        processor = get_task("image-classification").load_processor(tiny.save_vit(folder.with_name("processor")))
    save_model(model, processor, folder)
    return folder


def export(model: Any, folder: Path) -> Path:
    from hfcompress.export.optimum import export_with_optimum

    images = model.main_input_name == "pixel_values"
    source = save(model, folder / "torch")
    export_with_optimum(source, folder / "onnx", "image-classification" if images else "text-classification", None)
    return folder / "onnx"


def batch_of(model: Any) -> dict[str, np.ndarray]:
    batch = {name: tensor.numpy() for name, tensor in inputs(model).items()}
    if model.config.model_type == "bert":
        batch["token_type_ids"] = np.zeros_like(batch["input_ids"])
    return batch


def findings(folder: Path) -> tuple[Any, ...]:
    import onnx

    return lint(onnx.load(model_file(folder)), "tensorrt")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_linter_finds_nothing_in_what_is_quantized_after_training(family: str, tmp_path: Path) -> None:
    model = model_of(family)
    exported = export(model, tmp_path)
    (tmp_path / "int8").mkdir()
    path = quantize_static(
        calibrate(exported, TENSORRT, Calibration(), [batch_of(model)]), tmp_path / "int8", TENSORRT, per_channel=True
    )
    assert findings(exported) == findings(path) == ()
    assert len(quantized_products(path)) == FAMILIES[family][1]
    before = outputs(model).numpy()
    apart = OnnxRuntime(path, threads=1).predict(batch_of(model))["logits"] - before
    assert 0 < np.abs(apart).max() < 0.2 * before.std()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_linter_finds_nothing_in_what_is_trained_for_it_and_the_graph_answers_as_the_model(
    family: str, tmp_path: Path
) -> None:
    from hfcompress.models.loading import load_model
    from hfcompress.quantize.qat import fake_quantize_

    model = model_of(family)
    before = outputs(model)
    fake_quantize_(model, QatConfig(target="tensorrt"), TENSORRT, [inputs(model)])
    exported = export(model, tmp_path)
    assert findings(exported) == ()
    assert len(quantized_products(model_file(exported))) == FAMILIES[family][1]
    rounded = outputs(model)
    assert 0 < (rounded - before).abs().max() < 0.2 * before.std()
    task = "image-classification" if model.main_input_name == "pixel_values" else "text-classification"
    assert torch.equal(outputs(load_model(tmp_path / "torch", task)), rounded), "a folder holds all of it"
    answered = OnnxRuntime(exported, threads=1).predict(batch_of(model))["logits"]
    np.testing.assert_allclose(answered, rounded.numpy(), atol=1e-5)


def test_of_a_resnet_every_skip_connection_is_rounded_once_and_no_convolutions_own_output() -> None:
    from hfcompress.models.fake_quant.folder import structure_of
    from hfcompress.quantize.qat import fake_quantize_

    model = model_of("resnet")
    fake_quantize_(model, QatConfig(target="tensorrt"), TENSORRT, [inputs(model)])
    found, stages = structure_of(model), "resnet.encoder.stages"
    assert found.residual == tuple(f"{stages}.{stage}.layers.0.shortcut.convolution" for stage in (0, 1))
    first = "layer.0.convolution.input_quantizer"
    kept = {name: leader for name, leader in found.shared.items() if name.endswith(".shortcut")}
    blocks = [f"{stages}.0.layers.1", f"{stages}.0.layers.2", f"{stages}.1.layers.1"]
    assert kept == {f"{block}.shortcut": f"{block}.{first}" for block in blocks}
    assert found.relus == {}
    model.train()
    model(**inputs(model)).logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_the_export_stage_proves_it_here_and_says_what_it_is_for(reviews: Path, tmp_path: Path) -> None:
    from hfcompress.artifact import Artifact
    from hfcompress.export.stage import export as export_stage
    from hfcompress.quantize.qat import fake_quantize_
    from hfcompress.recipe.stages import ExportConfig
    from hfcompress.stage import Inputs
    from tests.export.test_stage import make_run

    model = model_of("distilbert")
    fake_quantize_(model, QatConfig(target="tensorrt"), TENSORRT, [inputs(model)])
    trained = Artifact(save(model, tmp_path / "torch"), "torch", details={"target": "tensorrt"})
    made = export_stage(ExportConfig(), Inputs(trained), make_run(tmp_path, reviews, "text-classification"))
    assert made.details is not None
    assert made.details["operators"] == {"MatMul": 12, "Gemm": 2}
    assert made.details["first_token_nodes"] > 0
    assert made.details["largest_difference"] <= made.details["tolerance"]
    assert (made.runtime, made.details["target"]) == (None, "tensorrt")
    assert findings(made.path) == ()


def test_of_each_residual_sum_the_summand_of_the_skip_connection_is_quantized_alone(
    resnet: Path, tmp_path: Path
) -> None:
    import onnx

    images = [{"pixel_values": np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)}]
    path = quantize_static(calibrate(resnet, TENSORRT, Calibration(), images), tmp_path, TENSORRT, per_channel=True)
    assert findings(path) == ()
    nodes = onnx.load(path).graph.node
    makers = {node.output[0]: node for node in nodes}
    sums = [[makers[name] for name in node.input] for node in nodes if node.op_type == "Add"]
    assert [[maker.op_type for maker in pair] for pair in sums] == [["Conv", "DequantizeLinear"]] * 4
    kept = [makers[makers[pair[1].input[0]].input[0]] for pair in sums]
    assert [node.op_type for node in kept] == ["MaxPool", "Relu", "Conv", "Relu"]
    assert "shortcut" in kept[2].name
    scales = {node.input[0]: node.input[1] for node in nodes if node.op_type == "QuantizeLinear"}
    used = [makers[pair[1].input[0]].input[1] for pair in sums]
    assert used == [scales[node.output[0]] for node in kept], "the one rounding that the next convolution reads too"


def test_a_graph_that_tensorrt_would_not_read_fails_the_stage_by_name(resnet: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from hfcompress.errors import StageError

    images = [{"pixel_values": np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)}]
    unsigned = replace(TENSORRT, signed_activations=False, residuals=False)
    with pytest.raises(
        StageError, match=r"tensorrt would not read model_quantized\.onnx: .* as uint8 .*; and \d+ more"
    ):
        quantize_static(calibrate(resnet, unsigned, Calibration(), images), tmp_path, unsigned, per_channel=True)
