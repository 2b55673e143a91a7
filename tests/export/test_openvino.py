"""Exports in OpenVINO's format, and those that OpenVINO runs: proven like any other, in what will serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.artifact import Artifact
from hfcompress.errors import NumericalMismatchError, StageError
from hfcompress.export import openvino as openvino_module
from hfcompress.export.rounded import check_executed
from hfcompress.export.stage import export
from hfcompress.models.fake_quant.folder import read_structure
from hfcompress.openvino_ir.file import MODEL
from hfcompress.recipe.stages import ExportConfig
from hfcompress.recipe.tasks import TaskName
from hfcompress.runtimes.openvino import OpenVinoRuntime, integer_product_count
from hfcompress.runtimes.torch import TorchRuntime
from hfcompress.stage import Inputs
from tests.export.test_rounded import fake_quantized
from tests.export.test_stage import make_run

pytestmark = [pytest.mark.export, pytest.mark.openvino]

CONFIG = ExportConfig(format="openvino")


@pytest.mark.parametrize("family", ["bert", pytest.param("vit", marks=pytest.mark.slow)])
def test_it_answers_as_pytorch_does_and_stands_on_its_own(
    model_of: Callable[[str], Path], family: str, reviews: Path, digits: Path, tmp_path: Path
) -> None:
    source, images = model_of(family), family == "vit"
    task: TaskName = "image-classification" if images else "text-classification"
    run = make_run(tmp_path, digits if images else reviews, task)
    made = export(CONFIG, Inputs(Artifact(source, "torch")), run)
    assert made.format == "openvino"
    assert made.details is not None
    assert made.details["largest_difference"] < 1e-4
    names = {path.name for path in run.out.iterdir()}
    assert names >= {MODEL, "openvino_model.bin", "config.json"}
    assert not [name for name in names if ".onnx" in name]

    ours, theirs = TorchRuntime(source, task, threads=1), OpenVinoRuntime(made.path)
    processor = run.data.task.load_processor(made.path)
    for batch in run.data.batches(run.data.prepared("train", processor), processor, 7):
        np.testing.assert_allclose(theirs.predict(batch)["logits"], ours.predict(batch)["logits"], atol=1e-4)


def test_a_conversion_that_answers_otherwise_is_refused(
    classifier: Path, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_half(graph: Path, out: Path) -> Path:
        made = convert_onnx(graph, out)
        weights = np.fromfile(made.with_suffix(".bin"), dtype=np.float32)
        weights[np.abs(weights) > 0.05] *= 0.9
        weights.tofile(made.with_suffix(".bin"))
        return made

    convert_onnx = openvino_module.convert_onnx
    monkeypatch.setattr(openvino_module, "convert_onnx", in_half)
    with pytest.raises(NumericalMismatchError, match="differs from PyTorch's by"):
        export(CONFIG, Inputs(Artifact(classifier, "torch")), make_run(tmp_path, reviews))


@pytest.mark.parametrize("format", [pytest.param("onnx", marks=pytest.mark.slow), "openvino"])
def test_what_was_trained_for_openvino_is_integer_in_it(format: Any, reviews: Path, tmp_path: Path) -> None:
    source = fake_quantized(tmp_path / "source", "bert")
    artifact = Artifact(source, "torch", {"target": "openvino"})
    run = make_run(tmp_path, reviews)
    made = export(ExportConfig(format=format), Inputs(artifact), run)
    details = made.details or {}
    assert (made.format, made.runtime, details["target"]) == (format, "openvino:CPU", "openvino")
    assert details["decisions_that_differ"] <= 2
    # Six layers in each of four blocks, pooler and head.
    assert details["integer_layers"] == integer_product_count(made.path) == 26
    assert details["operators"] == {"FullyConnected": 26}


def test_a_layer_that_is_not_integer_in_openvino_is_named(reviews: Path, tmp_path: Path, classifier: Path) -> None:
    run = make_run(tmp_path, reviews)
    made = export(ExportConfig(), Inputs(Artifact(classifier, "torch")), run)  # in floating point
    structure = read_structure(fake_quantized(tmp_path / "source", "bert"))  # its head has no bias, and so no name
    assert structure is not None
    with pytest.raises(StageError, match=r"25 of 25 layers did not become .* in OpenVINO: bert\.encoder\.layer\.0\."):
        check_executed(OpenVinoRuntime(made.path), structure)


@pytest.mark.slow
def test_layers_of_a_convolutional_network_are_found_by_their_names(digits: Path, tmp_path: Path) -> None:
    source = fake_quantized(tmp_path / "source", "resnet", task="image-classification")
    artifact = Artifact(source, "torch", {"target": "openvino"})
    made = export(ExportConfig(), Inputs(artifact), make_run(tmp_path, digits, "image-classification"))
    structure = read_structure(source)
    assert structure is not None
    assert set(check_executed(OpenVinoRuntime(made.path), structure)) == set(structure.layers)
