"""Exported models answer as PyTorch does, or there is no artifact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hfcompress.artifact import Artifact
from hfcompress.errors import InputError, ModelError, NumericalMismatchError, StageError
from hfcompress.export import stage as stage_module
from hfcompress.export.api import export_onnx
from hfcompress.export.stage import check_export, export
from hfcompress.recipe.data import DataConfig
from hfcompress.recipe.stages import ExportConfig
from hfcompress.recipe.tasks import TaskName
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.runtimes.torch import TorchRuntime
from hfcompress.stage import Inputs, Run
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.label_columns import labels_of_data
from tests import tiny

pytestmark = pytest.mark.export


def make_run(folder: Path, rows: Path, task: TaskName = "text-classification") -> Run:
    config = DataConfig(path=str(rows), splits={"train": "train", "validation": "validation"}, limit={"validation": 32})
    loaded = load_rows(config, task, 0)
    data = Data(get_task(task), loaded, labels_of_data(loaded.splits["train"], "labels"), 32)
    folders = {name: folder / name for name in ("out", "work")}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    return Run("onnx", data, 0, **folders)


@pytest.mark.parametrize("first_token_only", [True, False])
@pytest.mark.parametrize("family", ["bert", "distilbert", "vit"])
def test_an_exported_model_answers_as_pytorch_does(
    model_of: Callable[[str], Path], family: str, first_token_only: bool, reviews: Path, digits: Path, tmp_path: Path
) -> None:
    source = model_of(family)
    task: TaskName = "image-classification" if family == "vit" else "text-classification"
    run = make_run(tmp_path, digits if family == "vit" else reviews, task)
    config = ExportConfig(first_token_only=first_token_only)
    made = export(config, Inputs(Artifact(source, "torch")), run)
    assert made.details is not None
    assert made.details["largest_difference"] < 1e-4
    assert made.details["batches"] == 32 + 11 + 2
    assert made.format == "onnx"

    ours, theirs = TorchRuntime(source, task, threads=1), OnnxRuntime(made.path, threads=1)
    processor = run.data.task.load_processor(made.path)
    for batch in run.data.batches(run.data.prepared("train", processor), processor, 7):
        np.testing.assert_allclose(theirs.predict(batch)["logits"], ours.predict(batch)["logits"], atol=1e-4)


def test_the_artifact_stands_on_its_own(classifier: Path, reviews: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, reviews)
    export(ExportConfig(), Inputs(Artifact(classifier, "torch")), run)
    assert {path.name for path in run.out.iterdir()} >= {"model.onnx", "config.json", "tokenizer.json"}
    assert not list(run.out.glob("*.safetensors"))
    assert json.loads((run.out / "config.json").read_text())["id2label"] == {"0": "negative", "1": "positive"}
    for path in run.out.iterdir():
        content = path.read_bytes()
        assert str(classifier).encode() not in content, f"{path.name} holds an absolute path"
        assert str(tmp_path).encode() not in content, f"{path.name} holds an absolute path"


def test_real_rows_are_compared_in_several_lengths_and_batch_sizes(
    classifier: Path, reviews: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path, reviews)
    batches = list(stage_module._batches(classifier, run))
    shapes = [batch["input_ids"].shape for batch in batches]
    assert {rows for rows, _ in shapes} == {1, 3, 2, 16}
    assert len({tokens for _, tokens in shapes}) > 5
    assert any((batch["attention_mask"] == 0).any() for batch in batches), "padding is part of what is compared"
    for size in (1, 16):
        rows = [row for batch in batches if len(batch["row_id"]) == size for row in batch["row_id"]]
        assert len(set(rows)) == 32


def perturbed(exported: Path, out: Path, weight: str, change: float) -> Path:
    """A copy of an exported folder with one number of one weight changed."""
    import onnx

    shutil.copytree(exported, out)
    model = onnx.load(out / "model.onnx")
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == weight)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] += np.float32(change)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, weight))
    onnx.save(model, out / "model.onnx")
    return out


@pytest.mark.parametrize("change", [0.01, np.nan])
def test_a_graph_with_one_wrong_number_is_refused(
    classifier: Path, exported: Path, reviews: Path, tmp_path: Path, change: float
) -> None:
    wrong = perturbed(exported, tmp_path / "wrong", "classifier.bias", change)
    run, source = make_run(tmp_path / "run", reviews), Artifact(classifier, "torch")
    check_export(source, OnnxRuntime(exported, threads=1), run, 1e-3)
    with pytest.raises(NumericalMismatchError, match=r"`logits` differs .*\(tolerance 0\.001\) in row \d+ of a batch"):
        check_export(source, OnnxRuntime(wrong, threads=1), run, 1e-3)
    if change == 0.01:
        assert check_export(source, OnnxRuntime(wrong, threads=1), run, 0.02).largest == pytest.approx(0.01, rel=1e-2)


def test_a_tolerance_that_no_export_meets_fails_the_stage(classifier: Path, reviews: Path, tmp_path: Path) -> None:
    with pytest.raises(NumericalMismatchError, match="raise `tolerance`"):
        export(ExportConfig(tolerance=1e-12), Inputs(Artifact(classifier, "torch")), make_run(tmp_path, reviews))


def test_a_model_that_optimum_does_not_know_is_a_stage_error(tmp_path: Path, reviews: Path) -> None:
    from transformers import FunnelConfig, FunnelForSequenceClassification

    sizes = {"vocab_size": 60, "block_sizes": [1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32}
    FunnelForSequenceClassification(FunnelConfig(**sizes)).save_pretrained(tmp_path / "funnel")
    tiny.make_tokenizer().save_pretrained(tmp_path / "funnel")
    with pytest.raises(StageError, match="Optimum could not export funnel for text-classification: "):
        export(ExportConfig(), Inputs(Artifact(tmp_path / "funnel", "torch")), make_run(tmp_path, reviews))


def test_export_onnx_writes_the_folder_and_says_how_close_it_is(classifier: Path, tmp_path: Path) -> None:
    agreement = export_onnx(classifier, tmp_path / "onnx", examples=["good", "word1 bad word2"] * 5)
    assert agreement.largest < 1e-4
    assert agreement.batches == 10 + 2
    assert (tmp_path / "onnx" / "model.onnx").is_file()


def test_export_onnx_compares_made_up_batches_when_it_gets_no_examples(
    model_of: Callable[[str], Path], tmp_path: Path
) -> None:
    assert export_onnx(model_of("vit"), tmp_path / "onnx").batches == 3


def test_export_onnx_leaves_the_old_folder_when_the_comparison_fails(classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "config.json").write_text("old")
    with pytest.raises(NumericalMismatchError):
        export_onnx(classifier, tmp_path / "onnx", tolerance=1e-12)
    assert (tmp_path / "onnx" / "config.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["onnx"]


def test_export_onnx_refuses_no_examples_and_encoders_of_images_and_its_own_source(
    classifier: Path, vit: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no rows to compare"):
        export_onnx(classifier, tmp_path / "onnx", examples=[])
    with pytest.raises(InputError, match="no head for a task"):
        export_onnx(vit, tmp_path / "onnx")
    with pytest.raises(InputError, match="holds the source"):
        export_onnx(classifier, classifier)
    with pytest.raises(ModelError, match=r"no config\.json"):
        export_onnx(tmp_path / "nothing", tmp_path / "onnx")
    assert (classifier / "model.safetensors").is_file()
    assert not list(tmp_path.iterdir())


def test_an_export_in_float16_is_proven_by_its_own_bounds_and_holds_no_weight_in_float32(
    classifier: Path, reviews: Path, tmp_path: Path
) -> None:
    import onnx

    made = export(ExportConfig(dtype="fp16"), Inputs(Artifact(classifier, "torch")), make_run(tmp_path, reviews))
    assert made.details is not None
    assert made.details["dtype"] == "fp16"
    assert 0 < made.details["fp16_largest_difference"] <= made.details["fp16_tolerance"]
    assert [path.name for path in made.path.glob("*.onnx*")] == ["model_fp16.onnx"]
    weights = onnx.load(made.path / "model_fp16.onnx").graph.initializer
    assert onnx.TensorProto.FLOAT not in {tensor.data_type for tensor in weights}
    assert onnx.TensorProto.FLOAT16 in {tensor.data_type for tensor in weights}
