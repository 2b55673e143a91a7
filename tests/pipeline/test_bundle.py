"""A bundle of a run's artifact: its answers are the run's, nothing of this machine is in it, and faults are said."""

from __future__ import annotations

import getpass
import json
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.artifact import Artifact, Manifest, read_manifest, write_manifest
from hfcompress.bundle import measuring
from hfcompress.bundle.config import BundleConfig
from hfcompress.bundle.folder import check_out, copy_model
from hfcompress.bundle.measuring.batches import Packed
from hfcompress.bundle.measuring.onnx_runtime import CPU
from hfcompress.bundle.measuring.run import measure
from hfcompress.cli import failure, main
from hfcompress.errors import InputError, ModelError
from hfcompress.export.api import export_onnx
from hfcompress.onnx_graph.profiles import parse_profiles
from hfcompress.pipeline.bundle import Measured, measured_in_run, write_bundle
from hfcompress.pipeline.predictions import predict_split
from hfcompress.progress import SILENT
from hfcompress.recipe.data import BenchmarkConfig, DataConfig, StreamConfig
from hfcompress.recipe.tasks import TaskName
from hfcompress.results import read_results
from hfcompress.results.serving import LeftOut, read_serving, write_serving
from hfcompress.tasks import get_task
from hfcompress.tasks.labels import Labels
from hfcompress.tasks.loading import load_data
from tests import tiny
from tests.pipeline.conftest import Ran
from tests.tune.serving import serving_of

pytestmark = pytest.mark.export
ROWS = 20


def artifact(ran: Ran, name: str) -> Path:
    return ran.folder / "artifacts" / name


def bundled(ran: Ran, out: Path, name: str = "int8", target: Any = "onnxruntime", **changes: Any) -> Path:
    write_bundle(artifact(ran, name), out, BundleConfig(target, **{"rows": ROWS, **changes}), _in_large_batches(ran))
    return out


def _in_large_batches(ran: Ran) -> Measured:
    """As `predict_split` has them: ranges of dynamic INT8 are those of a whole batch."""
    found = measured_in_run(artifact(ran, "int8"))
    assert found is not None
    stream = found.benchmark.stream.model_copy(update={"batch": 32})
    return replace(found, benchmark=found.benchmark.model_copy(update={"stream": stream}))


def refused(ran: Ran, out: Path, name: str, config: BundleConfig) -> str:
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(InputError) as error:
        write_bundle(artifact(ran, name), out, config)
    assert sorted(out.parent.rglob("*")) == before
    return str(error.value)


def test_accuracy_and_answers_are_those_of_the_run_on_the_same_rows(ran: Ran, tmp_path: Path) -> None:
    folder = bundled(ran, tmp_path / "device")
    found = measure(folder, 1, CPU)
    data = load_data(ran.recipe.data, get_task("text-classification"), artifact(ran, "int8"), 0)
    answers: Any = predict_split(
        Artifact(artifact(ran, "int8"), "onnx"), "validation", data.sampled("validation", ROWS, 0), SILENT, ""
    )
    right = answers["label"] == answers["prediction"]
    assert (found["accuracy"]["rows"], found["accuracy"]["correct"]) == (ROWS, int(right.sum()))
    assert found["agreement"]["equal"] == found["agreement"]["decisions"] == ROWS
    assert found["agreement"]["max_difference"] == 0.0
    assert found["artifact"]["digest"] == ran.results.artifact("int8").digest
    reference = np.concatenate([batch["logits"] for batch in Packed(folder / "reference.npz")])
    np.testing.assert_allclose(np.sort(reference, axis=0), np.sort(answers["logits"], axis=0), atol=1e-6)


def made_for(ran: Ran, folder: Path, runtime: str) -> Path:
    """A copy of the run's ONNX artifact whose manifest says what it was made for."""
    copy = shutil.copytree(artifact(ran, "onnx"), folder)
    manifest = read_manifest(copy)
    assert isinstance(manifest, Manifest)
    write_manifest(copy, manifest.model_copy(update={"details": {**manifest.details, "runtime": runtime}}))
    return copy


def test_an_artifact_made_for_openvino_is_answered_by_openvino(ran: Ran, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    copy = made_for(ran, tmp_path / "onnx", "openvino:CPU")
    made = write_bundle(copy, tmp_path / "device", BundleConfig("openvino", rows=4), _in_large_batches(ran))
    assert made.reference.runtime == "openvino:CPU"
    assert "openvino" in made.reference.versions


def test_an_engine_cannot_travel(ran: Ran, tmp_path: Path) -> None:
    copy = made_for(ran, tmp_path / "engine", "onnxruntime:TensorrtExecutionProvider")
    with pytest.raises(InputError, match=r"is an engine of TensorRT.*bundle its ONNX source"):
        write_bundle(copy, tmp_path / "device", BundleConfig("trtexec"), _in_large_batches(ran))


def test_the_empty_folder_that_one_is_in_becomes_the_bundle(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_bundle(artifact(ran, "onnx"), ".", BundleConfig("onnxruntime", rows=4), _in_large_batches(ran))
    assert (tmp_path / "here" / "bundle.json").is_file()


def test_nothing_of_this_machine_is_in_a_bundle(ran: Ran, tmp_path: Path) -> None:
    folder = bundled(ran, tmp_path / "device", "onnx", "jetson")
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "SHA256SUMS", "build.sh", "bundle.json", "measure.py", "measuring", "model.onnx"),
        *("grid.npz", "reference.npz", "sample.npz"),
    }
    said = "\n".join((folder / name).read_text() for name in ("README.md", "build.sh", "bundle.json", "SHA256SUMS"))
    private = [str(Path.home()), str(tmp_path), str(ran.folder), str(ran.recipe.data.path), socket.gethostname()]
    assert not [word for word in private if len(word) > 1 and word in said]
    assert f"/{getpass.getuser()}/" not in said
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {line.partition(": ")[0] for line in done.stdout.splitlines()} == files - {"SHA256SUMS"}
    ours = Path(measuring.__file__).parent
    assert {path.name: path.read_bytes() for path in (folder / "measuring").iterdir()} == {
        path.name: path.read_bytes() for path in ours.glob("*.py")
    }


def test_a_bundle_replaces_a_bundle_and_nothing_else(ran: Ran, tmp_path: Path) -> None:
    folder = bundled(ran, tmp_path / "device")
    (folder / "measurement.json").write_text("{}")
    bundled(ran, folder, "onnx")
    assert not (folder / "measurement.json").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    said = refused(ran, tmp_path / "mine", "onnx", BundleConfig("onnxruntime"))
    assert "is no bundle and not empty" in said
    with pytest.raises(InputError, match="is in the way of the artifact"):
        check_out(ran.folder, artifact(ran, "int8"))


def test_what_cannot_be_bundled_is_said_and_nothing_is_written(ran: Ran, tmp_path: Path) -> None:
    out = tmp_path / "device"
    said = refused(ran, out, "student", BundleConfig("jetson"))
    assert "student is a PyTorch artifact, and a bundle for jetson holds onnx; export it first" in said
    said = refused(ran, out, "int8", BundleConfig("jetson"))
    assert "TensorRT would not read int8: " in said
    assert "dynamic-quantization" in said
    short = parse_profiles(f"{name}=1x4:8x8:8x10" for name in ("input_ids", "attention_mask", "token_type_ids"))
    said = refused(ran, out, "onnx", BundleConfig("trtexec", profiles=short))
    assert "rows have more tokens" in said
    assert "use --profile input_ids=1x4:8x8:8x" in said
    said = refused(ran, out, "onnx", BundleConfig("onnxruntime", serving=tmp_path / "none.json"))
    assert "none.json does not exist" in said
    with pytest.raises(InputError, match="lies in no run folder"):
        write_bundle(shutil.copytree(artifact(ran, "onnx"), tmp_path / "alone"), out, BundleConfig("openvino"))


def test_an_ir_may_have_any_name_and_needs_its_weights(tmp_path: Path) -> None:
    (tmp_path / "ir").mkdir()
    (tmp_path / "ir" / "model.xml").write_text('<net name="m" version="11"><layers/><edges/></net>')
    with pytest.raises(ModelError, match=r"model\.bin is missing"):
        copy_model(tmp_path / "ir", "openvino", tmp_path)
    (tmp_path / "ir" / "model.bin").write_bytes(b"weights")
    assert copy_model(tmp_path / "ir", "openvino", tmp_path) == "openvino_model.xml"
    assert (tmp_path / "openvino_model.bin").read_bytes() == b"weights"


def test_a_damaged_artifact_is_refused(ran: Ran, tmp_path: Path) -> None:
    copy = shutil.copytree(artifact(ran, "onnx"), tmp_path / "onnx")
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    with pytest.raises(InputError, match=r"is damaged: config\.json has changed"):
        write_bundle(copy, tmp_path / "device", BundleConfig("onnxruntime"), _in_large_batches(ran))


def test_dynamic_int8_for_openvino_is_warned_of(ran: Ran, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundled(ran, tmp_path / "onnx", "onnx", "openvino")
    assert not caplog.records
    bundled(ran, tmp_path / "int8", "int8", "openvino")
    assert "int8 is dynamic INT8, which OpenVINO computes far more slowly" in caplog.text


def test_answers_that_would_take_gigabytes_are_refused(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hfcompress.bundle.sample._MOST_BYTES", 100)
    said = refused(ran, tmp_path / "device", "onnx", BundleConfig("onnxruntime", rows=ROWS))
    assert "take fewer rows: --rows" in said


def test_images_are_bundled_with_their_accuracy(digits: Path, tmp_path: Path) -> None:
    export_onnx(tiny.save_resnet(tmp_path / "torch"), tmp_path / "onnx")
    data = DataConfig(path=str(digits))
    few = BenchmarkConfig(batch=(1, 2), repeats=5, stream=StreamConfig(batch=8))
    out = tmp_path / "device"
    made = write_bundle(tmp_path / "onnx", out, BundleConfig("jetson", rows=16), Measured(data, "validation", few))
    (profile,) = made.profiles.values()
    assert (profile.minimum, profile.optimum, profile.maximum) == ((1, 3, 32, 32), (8, 3, 32, 32), (8, 3, 32, 32))
    assert "--maxShapes=pixel_values:8x3x32x32" in (out / "build.sh").read_text()
    write_bundle(tmp_path / "onnx", out, BundleConfig("onnxruntime", rows=16), Measured(data, "validation", few))
    found = measure(out, 1, CPU)
    assert (found["accuracy"]["rows"], found["agreement"]["max_difference"]) == (16, 0.0)
    assert [cell["sequence"] for cell in found["latency"]] == [None, None]


def test_a_file_of_tune_travels_along_without_folders_of_this_machine(ran: Ran, tmp_path: Path) -> None:
    said = serving_of(artifact(ran, "int8"), left_out=(LeftOut(what="x", reason="/home/me/lib.so is missing"),))
    write_serving(said, tmp_path / "int8-epyc.json")
    folder = bundled(ran, tmp_path / "device", serving=tmp_path / "int8-epyc.json")
    assert read_serving(folder / "serving" / "int8-epyc.json") == said.model_copy(update={"left_out": ()})
    assert "serving/int8-epyc.json" in (folder / "SHA256SUMS").read_text()


def test_a_file_of_tune_that_is_damaged_or_of_another_model_is_refused(ran: Ran, tmp_path: Path) -> None:
    path = tmp_path / "serving.json"
    config = BundleConfig("onnxruntime", serving=path)
    path.write_text('{"anything": 1}')
    assert "is not a serving file of schema" in refused(ran, tmp_path / "device", "int8", config)
    write_serving(serving_of(artifact(ran, "onnx")), path)
    assert "is of another model than" in refused(ran, tmp_path / "device", "int8", config)


@pytest.mark.parametrize(
    ("target", "changes", "message"),
    [
        ("z80", {}, "targets are jetson, trtexec, onnxruntime, openvino"),
        ("jetson", {"precision": "int8"}, "INT8 is a matter of the graph: quantize it"),
        ("onnxruntime", {"precision": "fp16"}, "leave `precision` out"),
        ("openvino", {"profiles": parse_profiles(["x=1"])}, "takes every size"),
        ("openvino", {"rows": 0}, "1 row or more, got 0"),
    ],
)
def test_what_no_bundle_can_be_is_refused(target: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BundleConfig(target, **changes)


def test_the_command_bundles_adds_and_reports(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(failure, "raise_on_sigterm", lambda: None)
        monkeypatch.setattr(sys, "argv", ["hfcompress", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capfd.readouterr().err.replace("\n", " ")

    run, out = shutil.copytree(ran.folder, tmp_path / "run"), tmp_path / "device"
    added = out / "measurement.json"
    assert call("bundle", run / "artifacts" / "onnx", "--target", "onnxruntime", "--out", out, "--batch", 2)[0] == 0
    done = subprocess.run([sys.executable, str(out / "measure.py")], capture_output=True, text=True, check=True)
    assert "wrote measurement.json" in done.stdout
    assert [(cell["batch"], cell["sequence"]) for cell in json.loads(added.read_text())["latency"]] == [(2, 8)]
    assert call("report", run, "--add", added, "--format", "quiet")[0] == 0
    assert len(read_results(run / "results.json").artifact("onnx").measurements) == 1
    assert "onnx \\@ " in (run / "report.md").read_text()
    before = (run / "results.json").read_bytes()
    added.write_text("{")
    for arguments, message in (
        (("report", run, "--add", added), "is no JSON"),
        (("report", run, run, "--add", added, "--html", tmp_path / "both.html"), "goes into the results of one run"),
        (("bundle", run / "artifacts" / "teacher", "--target", "jetson", "--out", out), "is a PyTorch artifact"),
        (("bundle", tmp_path / "none", "--target", "jetson", "--out", out), "is no folder"),
    ):
        code, said = call(*arguments)
        assert code == 2
        assert message in said
    assert (run / "results.json").read_bytes() == before
    alone, rows = shutil.copytree(run / "artifacts" / "onnx", tmp_path / "alone"), ran.recipe.data.path
    told = ("--data", rows, "--split", "validation", "--target", "trtexec", "--sequence", 4, "--batch", 1)
    assert call("bundle", alone, *told, "--out", out)[0] == 0
    made = json.loads((out / "bundle.json").read_text())
    longest = max(
        len(line.split(",")[1].split())
        for split in ("train", "validation", "test")
        for line in (Path(rows) / f"{split}.csv").read_text().splitlines()[1:]
    )
    assert (made["split"], made["rows"]) == ("validation", 32)
    assert made["profiles"]["input_ids"]["maximum"] == [32, longest + 2]  # of all splits, with [CLS] and [SEP]


SEVERAL = Labels(("good", "bad", "numbered"), {}, "multi_label_classification")
CASES: list[tuple[TaskName, Labels | None, Any]] = [
    ("text-classification", SEVERAL, tiny.save_topics),
    ("text-classification", Labels(("LABEL_0",), {}, "regression"), tiny.save_scores),
    ("token-classification", Labels(tiny.TAGS, {}, None), tiny.save_tagged),
    ("masked-lm", None, tiny.save_lines),
    ("feature-extraction", None, tiny.save_pairs),
    ("question-answering", None, tiny.save_questions),
]


@pytest.mark.slow
@pytest.mark.parametrize("task, labels, save", CASES, ids=[f"{case[0]}-{case[2].__name__}" for case in CASES])
def test_every_other_task_is_compared_with_the_answers_that_travel_along(
    task: TaskName, labels: Labels | None, save: Any, tmp_path: Path
) -> None:
    export_onnx(tiny.save_bert(tmp_path / "torch", layers=2, head=task, labels=labels), tmp_path / "onnx")
    data = DataConfig(path=str(save(tmp_path / "data", train=4, validation=20, test=2)), max_length=32)
    stream = BenchmarkConfig(batch=(1,), sequence=(8,), repeats=5)
    write_bundle(tmp_path / "onnx", tmp_path / "b", BundleConfig("onnxruntime"), Measured(data, "validation", stream))
    found = measure(tmp_path / "b", 1, CPU)
    assert found["accuracy"] is None
    assert found["agreement"]["share"] == 1.0
    assert found["agreement"]["decisions"] >= 20
    assert "no metric, which for" in (tmp_path / "b" / "README.md").read_text()


def test_a_model_in_the_root_of_the_file_system_is_of_no_run() -> None:
    assert measured_in_run(Path("/")) is None
    assert measured_in_run(Path("/model")) is None


@pytest.mark.export
def test_labels_that_nobody_measures_are_not_read(ran: Ran, tmp_path: Path) -> None:
    """As GLUE's test split has them; its lengths count for an engine all the same."""
    for name, label, text in (("train", 1, "word1"), ("validation", 0, "word2"), ("test", -1, "word3 " * 9)):
        rows = "".join(f"{text},{each}\n" for each in (label, abs(label), 0 if label >= 0 else -1))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}")
    splits = {name: name for name in ("train", "validation", "test")}
    measured = Measured(DataConfig(path=str(tmp_path), splits=splits), "validation", BenchmarkConfig())
    made = write_bundle(artifact(ran, "onnx"), tmp_path / "out", BundleConfig("onnxruntime"), measured)
    assert (made.split, made.rows) == ("validation", 3)
    made = write_bundle(artifact(ran, "onnx"), tmp_path / "engine", BundleConfig("trtexec"), measured)
    assert made.profiles["input_ids"].maximum[1] >= 11
