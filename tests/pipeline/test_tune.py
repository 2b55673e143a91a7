"""`tune` of a run's artifact: a real search on two settings, and what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hfcompress import load, tune_artifact
from hfcompress.artifact import digest_of, hash_folder
from hfcompress.cli import failure, main
from hfcompress.errors import InputError
from hfcompress.pipeline.tune import _without_folders, read_artifact, stream_rows
from hfcompress.recipe.data import DataConfig
from hfcompress.results.serving import read_serving
from hfcompress.runtimes import installed
from hfcompress.tune.options import TuneOptions
from tests import int8_graphs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, reviews: Path) -> Path:
    """A run folder with one ONNX artifact."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    made = int8_graphs.export_bert(tmp_path_factory.mktemp("bert"), extreme=False)
    shutil.copytree(made, folder / "artifacts" / "onnx")
    recipe = {"name": "tiny", "task": "text-classification", "model": "x", "stages": {"onnx": {"export": {}}}}
    data = {"path": str(reviews), "max_length": 32}
    (folder / "recipe.yaml").write_text(json.dumps({**recipe, "data": data}))
    return folder


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(failure, "raise_on_sigterm", lambda: None)
    monkeypatch.setattr(sys, "argv", ["hfcompress", "tune", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.export
def test_the_file_says_what_was_tried_and_load_uses_it(run: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    only = {"onnx": {"onnxruntime:CPUExecutionProvider": "onnxruntime"}}
    monkeypatch.setattr(installed, "RUNTIMES", only)
    artifact = run / "artifacts" / "onnx"
    assert call(monkeypatch, artifact, "--threads", 2, "--rows", 12, "--format", "json") == 0
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert said["event"] == "serving"
    found = read_serving(Path(said["path"]))
    assert Path(said["path"]) == run / "serving" / f"onnx-{found.host}.json"
    assert said["serving"] == json.loads(Path(said["path"]).read_text())
    assert (found.artifact, found.digest) == ("onnx", digest_of(hash_folder(artifact)))
    assert (found.cores, found.rows, found.left_out) == (2, 12, ())
    assert found.latency.settings.streams == 1
    assert found.latency.batching.rows == 1
    shapes = {(each.settings.threads, each.settings.streams) for each in found.tried if each.goal == "throughput"}
    assert shapes == {(1, 1), (1, 2), (2, 1)}
    assert str(run) not in json.dumps(said["serving"])
    assert load(artifact).serving == found.latency


@pytest.mark.export
def test_a_table_shows_the_winners_and_a_runtime_that_cannot_run_it(
    run: Path, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    both = {"onnx": {"onnxruntime:CPUExecutionProvider": "onnxruntime", "onnxruntime:NoSuchProvider": "onnxruntime"}}
    monkeypatch.setattr(installed, "RUNTIMES", both)
    arguments = ("--data", reviews, "--rows", 16, "--threads", 1, "--budget", 8, "--out", tmp_path / "out.json")
    assert call(monkeypatch, run / "artifacts" / "onnx", *arguments) == 0
    said = capfd.readouterr()
    assert "Best for this host: onnx, 1 cores, 16 rows" in said.out
    assert "single rows" in said.out
    assert "this ONNX Runtime has no NoSuchProvider" in said.out.replace("\n ", " ")
    assert f"Written to {tmp_path / 'out.json'}" in said.err
    (left_out,) = read_serving(tmp_path / "out.json").left_out
    assert left_out.what == "onnxruntime:NoSuchProvider, 1 threads x 1 streams"


@pytest.mark.export
@pytest.mark.parametrize(
    "arguments, message",
    [
        (("nowhere",), "nowhere is no folder"),
        ((".",), "config.json"),
        (("ARTIFACT", "--budget", "0"), "budget_s: Input should be greater than 0"),
        (("ARTIFACT", "--split", "test"), "--split and --column are about --data"),
        (("ARTIFACT", "--data", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_bad_input_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    named = [str(run / "artifacts" / "onnx") if word == "ARTIFACT" else word for word in arguments]
    assert call(monkeypatch, *named) == 2
    assert message in capfd.readouterr().err


def test_a_model_outside_a_run_needs_data(classifier: Path) -> None:
    with pytest.raises(InputError, match="is no artifact of a run, so there are no rows to run on; give --data"):
        tune_artifact(classifier)


def test_a_split_that_the_data_does_not_name_is_refused(classifier: Path, reviews: Path) -> None:
    data = DataConfig(path=str(reviews), splits={"test": "test"})
    with pytest.raises(InputError, match="names no split `train`; it names test"):
        tune_artifact(classifier, data=data, split="train")


@pytest.mark.slow
def test_a_torch_artifact_is_tuned_in_torch(classifier: Path, reviews: Path, tmp_path: Path) -> None:
    options = TuneOptions(threads=2, budget_s=60)
    found = tune_artifact(classifier, data=DataConfig(path=str(reviews)), options=options, out=tmp_path / "out.json")
    assert {each.settings.runtime for each in found.serving.tried} == {"torch"}


def test_a_reason_names_no_folder_of_this_machine() -> None:
    reason = "/home/me/my runs/x/artifacts/int8/model.onnx cannot be run by /usr/lib/libx.so"
    told = _without_folders(reason, Path("/home/me/my runs/x/artifacts/int8"))
    assert told == "int8/model.onnx cannot be run by libx.so"


@pytest.mark.export
def test_rows_need_no_labels_and_are_cut_where_load_cuts_them(run: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text\n" + "\n".join(["word1 word2 " * 40, "word3"]) + "\n")
    artifact = read_artifact(run / "artifacts" / "onnx")
    data = DataConfig(path=str(tmp_path / "rows.csv"), splits={"test": "train"}, max_length=32)
    rows = stream_rows(replace(artifact, max_length=16), data, None, TuneOptions())
    assert sorted(rows.lengths) == [3, 16]
    assert sorted(stream_rows(replace(artifact, max_length=None), data, None, TuneOptions()).lengths) == [3, 32]


def test_a_folder_in_place_of_the_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; name a file with --out"):
        tune_artifact(tmp_path / "no-model", out=tmp_path)
