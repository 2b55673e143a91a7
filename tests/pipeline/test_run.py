"""A whole run: what it leaves, what it takes from the run folder, and how it fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hfcompress.artifact import damage, read_manifest
from hfcompress.errors import StageError
from hfcompress.pipeline import build
from hfcompress.pipeline.build import Options
from hfcompress.pipeline.evidence import gather_evidence
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.run import run_recipe
from hfcompress.recipe import Recipe, parse_recipe
from hfcompress.results import read_results
from tests import tiny
from tests.pipeline.conftest import Ran

pytestmark = pytest.mark.export

STAGES = ["teacher", "student", "onnx", "int8"]


class Heard:
    """A progress that keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def bar(self, description: str, total: int):
        from hfcompress.progress import SILENT

        self.lines.append(f"bar {description}")
        return SILENT.bar(description, total)


def rerun(ran: Ran, tmp_path: Path, recipe: Recipe | None = None, **options: bool) -> list[str]:
    """Run again on a copy of the run folder, and give what was said."""
    shutil.copytree(ran.folder, tmp_path / "run")
    heard = Heard()
    run_recipe(recipe or ran.recipe, out=tmp_path / "run", options=Options(**options), progress=heard)
    return heard.lines


def test_every_artifact_is_whole_and_says_what_made_it(ran: Ran) -> None:
    for name, parent in zip(STAGES, ["source", "teacher", "student", "onnx"], strict=True):
        folder = ran.folder / "artifacts" / name
        manifest = read_manifest(folder)
        assert manifest is not None
        assert damage(folder, manifest) is None
        assert parent in manifest.parents


def test_results_are_in_the_folder_as_returned(ran: Ran) -> None:
    assert read_results(ran.folder / "results.json") == ran.results
    assert [artifact.name for artifact in ran.results.artifacts] == STAGES
    assert ran.results.passed


def test_metrics_are_those_of_the_kept_predictions(ran: Ran) -> None:
    for artifact in ran.results.artifacts:
        for split, scored in (("test", artifact.metrics), ("validation", artifact.validation)):
            table = pq.read_table(ran.folder / "predictions" / f"{artifact.name}-{split}.parquet")
            logits = np.array(table["logits"].to_pylist())
            assert np.array_equal(logits.argmax(axis=1), table["prediction"].to_numpy())
            accuracy = float(np.mean(table["prediction"].to_numpy() == table["label"].to_numpy()))
            assert scored["accuracy"].value == pytest.approx(accuracy)
            assert scored["accuracy"].low <= accuracy <= scored["accuracy"].high


def test_a_run_leaves_its_losses_calls_and_flips(ran: Ran) -> None:
    found = gather_evidence(RunFolder(ran.folder), ran.results)
    assert [training.artifact for training in found.trainings] == ["teacher", "student"]
    manifest = json.loads((ran.folder / "artifacts" / "student" / "manifest.json").read_text())
    logged = [(entry["step"], entry["loss"]) for entry in manifest["details"]["losses"] if "loss" in entry]
    assert list(found.trainings[1].losses["loss"]) == logged
    for samples in found.samples:
        artifact = ran.results.artifact(samples.artifact)
        (cell,) = [
            cell for cell in artifact.latency if (cell.batch, cell.sequence) == (samples.batch, samples.sequence)
        ]
        assert np.median(samples.milliseconds) == pytest.approx(cell.p50_ms)
    assert len(found.samples) == 8
    listed = found.examples.flips if found.examples is not None else {}
    for name in ("student", "onnx", "int8"):
        ours, theirs = (
            pq.read_table(ran.folder / "predictions" / f"{each}-test.parquet")["prediction"].to_numpy()
            for each in (name, "teacher")
        )
        assert sorted(flip.row for flip in listed.get(name, ())) == np.flatnonzero(ours != theirs).tolist()


def test_differences_are_paired_against_the_gates_reference(ran: Ran) -> None:
    by_name = {artifact.name: artifact for artifact in ran.results.artifacts}
    assert by_name["teacher"].difference == {}
    difference = by_name["int8"].difference["accuracy"]
    assert difference.against == "teacher"
    expected = by_name["int8"].metrics["accuracy"].value - by_name["teacher"].metrics["accuracy"].value
    assert difference.value == pytest.approx(expected)


def test_every_artifact_has_latencies_throughput_and_memory(ran: Ran) -> None:
    for artifact in ran.results.artifacts:
        assert [(cell.batch, cell.sequence) for cell in artifact.latency] == [(1, 8), (4, 8)]
        assert all(0 < cell.p50_ms <= cell.p99_ms for cell in artifact.latency)
        assert artifact.throughput_per_s > 0
        assert artifact.peak_memory_mb is not None
        assert artifact.speedup is not None
    assert ran.results.artifact("teacher").speedup == 1


def test_int8_keeps_the_number_of_parameters_and_has_integer_operators(ran: Ran) -> None:
    assert ran.results.artifact("int8").parameters == ran.results.artifact("student").parameters
    assert (ran.results.artifact("int8").integer_operators or 0) > 0
    assert ran.results.artifact("onnx").integer_operators == 0


def test_nothing_in_the_folder_names_this_machine_but_the_recipe(ran: Ran) -> None:
    home = str(ran.folder.parent.parent)
    for path in ran.folder.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".md") and home in path.read_text(encoding="utf-8"):
            pytest.fail(f"{path.name} holds an absolute path")


def test_checkpoints_go_when_their_artifact_is_whole(ran: Ran) -> None:
    assert list((ran.folder / "work").iterdir()) == []


def test_a_second_run_takes_everything_from_the_folder(ran: Ran, tmp_path: Path) -> None:
    lines = rerun(ran, tmp_path)
    for name in STAGES:
        assert f"{name}: taken from the run folder" in lines
    assert not [line for line in lines if line.startswith("bar")]


def test_a_changed_stage_runs_again_and_what_came_before_it_does_not(ran: Ran, tmp_path: Path) -> None:
    changed = tiny.text_recipe(Path(ran.recipe.model.id), Path(ran.recipe.data.path))
    changed["stages"]["int8"]["quantize"]["per_channel"] = False
    lines = rerun(ran, tmp_path, parse_recipe(changed))
    assert "onnx: taken from the run folder" in lines
    assert "int8: taken from the run folder" not in lines
    assert "bar int8: validation" in lines


def test_a_damaged_artifact_is_made_again(ran: Ran, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ran.folder, copy)
    graph = copy / "artifacts" / "int8" / "model_quantized.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
    heard = Heard()
    run_recipe(ran.recipe, out=copy, progress=heard)
    assert "model_quantized.onnx has changed" in caplog.text
    assert "onnx: taken from the run folder" in heard.lines
    assert read_manifest(copy / "artifacts" / "int8") == read_manifest(ran.folder / "artifacts" / "int8")


def test_a_failing_stage_leaves_what_came_before_and_no_part_of_itself(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = build.run_stage

    def fails(config: object, inputs: object, run: object) -> object:
        if type(config).__name__ == "ExportConfig":
            (run.out / "half").write_text("")  # type: ignore[attr-defined]
            raise RuntimeError("no such operator")
        return original(config, inputs, run)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "run_stage", fails)
    shutil.copytree(ran.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "artifacts" / "onnx")
    with pytest.raises(StageError, match=r"the stage `onnx` \(export\) failed: no such operator"):
        run_recipe(ran.recipe, out=tmp_path / "run")
    left = {path.name for path in (tmp_path / "run" / "artifacts").iterdir()}
    assert left == {"teacher", "student", "int8"}


def test_a_failed_gate_marks_the_artifact_and_what_is_made_from_it(ran: Ran, tmp_path: Path) -> None:
    gates = [{"artifact": "onnx", "max_size_mb": 1e-6}]
    recipe = parse_recipe(tiny.text_recipe(Path(ran.recipe.model.id), Path(ran.recipe.data.path), gates=gates))
    shutil.copytree(ran.folder, tmp_path / "run")
    results = run_recipe(recipe, out=tmp_path / "run")
    assert not results.passed
    publishable = {artifact.name: artifact.publishable for artifact in results.artifacts}
    assert publishable == {"teacher": True, "student": True, "onnx": False, "int8": False}


def test_a_fine_tuned_model_is_measured_as_source(classifier: Path, reviews: Path, tmp_path: Path) -> None:
    recipe = tiny.text_recipe(classifier, reviews)
    recipe["stages"] = {"onnx": {"export": {}}}
    results = run_recipe(parse_recipe(recipe), out=tmp_path / "run")
    assert [artifact.name for artifact in results.artifacts] == ["source", "onnx"]
    assert results.baseline == "source"
    assert results.artifact("onnx").metrics == results.artifact("source").metrics


def test_images_go_through_every_stage(vit: Path, digits: Path, tmp_path: Path) -> None:
    training = {
        "num_train_epochs": 1,
        "per_device_train_batch_size": 16,
        "learning_rate": 5e-3,
        "warmup_steps": 20,
        "bf16": False,
    }
    recipe = tiny.text_recipe(vit, digits)
    recipe |= {"name": "digits", "task": "image-classification", "data": {"path": str(digits)}}
    recipe["stages"]["teacher"]["finetune"]["training"] = {**training, "num_train_epochs": 8}
    recipe["stages"]["student"]["distill"]["training"] = training
    results = run_recipe(parse_recipe(recipe), out=tmp_path / "run")
    assert results.artifact("teacher").metrics["accuracy"].value > 0.3  # chance is 0.1
    assert all(cell.sequence is None for artifact in results.artifacts for cell in artifact.latency)
    assert abs(results.artifact("int8").difference["accuracy"].value) < 0.3
    manifest = json.loads((tmp_path / "run" / "artifacts" / "student" / "config.json").read_text())
    assert manifest["num_hidden_layers"] == 2
