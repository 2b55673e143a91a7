"""A finished run as a repository: what is in it, and that the programs of its card give what was measured."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from huggingface_hub import ModelCard

import hfcompress
from hfcompress.artifact import digest_of
from hfcompress.errors import InputError
from hfcompress.hub.choice import default_choice
from hfcompress.hub.layout import RunFacts, layout
from hfcompress.hub.publication import RepositoryManifest
from hfcompress.models.folder import files_of
from hfcompress.pipeline.publish import publication_of
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.publish import PublishConfig
from hfcompress.results import Results, read_results
from tests.hub import run_snippets
from tests.hub.published import text_of, write_publication
from tests.pipeline.conftest import Ran

pytestmark = pytest.mark.export
REPO = "someone/tiny"


@pytest.fixture(scope="module")
def home(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `someone/tiny` is the published repository."""
    folder = tmp_path_factory.mktemp("published")
    write_publication(publication_of(ran.folder, PublishConfig(repo_id=REPO)), folder / REPO)
    return folder


def measured(ran: Ran, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits of every test row as they were kept, and what was right."""
    table = pq.read_table(ran.folder / "predictions" / f"{name}-test.parquet")
    return np.array(table["logits"].to_pylist()), np.array(table["label"].to_pylist())


def test_the_programs_of_the_card_give_the_logits_that_were_measured(
    ran: Ran, home: Path, reviews: Path, tmp_path: Path
) -> None:
    with (reviews / "test.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    # In the order in which the run read them, in one batch: dynamic INT8 takes its ranges from the batch.
    order = np.argsort([-len(text.split()) for text in texts], kind="stable")
    (tmp_path / "texts.json").write_text(json.dumps([texts[row] for row in order]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, run_snippets.__file__, f"{REPO}/README.md", tmp_path / "texts.json", tmp_path / "found.json"],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(Path(hfcompress.__file__).parents[1]), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))

    student, label = measured(ran, "student")
    int8, _ = measured(ran, "int8")
    assert np.allclose(found["transformers"], student[order], atol=1e-4)
    assert np.allclose(found["hfcompress"], int8[order], atol=1e-4)
    accuracy = (np.argmax(found["hfcompress"], axis=1) == label[order]).mean()
    assert accuracy == ran.results.artifact("int8").metrics["accuracy"].value
    # The pipeline answers row by row, so its ranges are others.
    scores = np.exp(int8[order] - np.logaddexp.reduce(int8[order], axis=1, keepdims=True)).max(axis=1)
    assert np.allclose([answer["score"] for answer in found["optimum"]], scores, atol=0.02)


def test_the_card_is_read_back_to_the_measured_values(ran: Ran, home: Path) -> None:
    data = ModelCard.load(home / REPO / "README.md").data
    read = {result.metric_name: result.metric_value for result in data.eval_results}
    published = ("student", "onnx", "int8")
    assert read == {f"accuracy ({name})": ran.results.artifact(name).metrics["accuracy"].value for name in published}
    assert {result.dataset_split for result in data.eval_results} == {"test"}
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-classification")


def test_every_artifact_of_the_repository_loads_by_its_name(ran: Ran, home: Path) -> None:
    examples = ["good word1 fine", "bad word2"]
    for name in ("student", "onnx", "int8"):
        published = hfcompress.load(home / REPO, artifact=name)
        its_own = hfcompress.load(ran.folder / "artifacts" / name)
        assert published.max_length == its_own.max_length == 32
        batch = its_own.preprocess(examples)
        assert np.array_equal(published.predict(batch)["logits"], its_own.predict(batch)["logits"])


def test_a_repository_of_several_artifacts_wants_to_know_which(home: Path) -> None:
    with pytest.raises(InputError, match=r"holds several artifacts \(student, onnx, int8\)"):
        hfcompress.load(home / REPO)
    with pytest.raises(InputError, match="holds no artifact `int4`; it holds student, onnx, int8"):
        hfcompress.load(home / REPO, artifact="int4")


def test_the_manifest_names_every_file_with_its_digest(home: Path) -> None:
    from hfcompress.artifact import hash_folder

    manifest = RepositoryManifest.model_validate_json((home / REPO / "manifest.json").read_text(encoding="utf-8"))
    assert manifest.files == hash_folder(home / REPO)
    assert {name for artifact in manifest.artifacts.values() for name in artifact.files} <= set(manifest.files)


def test_nothing_of_this_machine_is_written(ran: Ran, home: Path) -> None:
    written = [path for path in (home / REPO).rglob("*") if path.suffix in (".md", ".json", ".yaml")]
    assert {"README.md", "results.json", "recipe.yaml", "manifest.json"} <= {path.name for path in written}
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert str(ran.folder.parent) not in text, path
        assert str(Path.home()) not in text, path
    recipe = parse_recipe((home / REPO / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe.model.id == Path(ran.recipe.model.id).name
    assert recipe.stages == ran.recipe.stages


def test_the_published_results_have_paths_in_the_repository(home: Path) -> None:
    results = read_results(home / REPO / "results.json")
    paths = {artifact.name: artifact.path for artifact in results.artifacts}
    assert paths == {
        "teacher": None,
        "student": "model.safetensors",
        "onnx": "onnx/model.onnx",
        "int8": "onnx/model_quantized.onnx",
    }


def test_equal_runs_give_equal_bytes_whatever_the_seconds_of_the_run(ran: Ran) -> None:
    def bytes_of(results: Results) -> dict[str, str]:
        publication = layout(RunFacts(ran.folder, results, ran.recipe), ["student"], REPO)
        return {file.path: text_of(publication, file.path) for file in publication if isinstance(file.content, bytes)}

    assert bytes_of(ran.results) == bytes_of(ran.results.model_copy(update={"seconds": {}}))


def test_what_failed_a_gate_is_refused(ran: Ran) -> None:
    failed = [
        artifact.model_copy(update={"publishable": artifact.name != "int8"}) for artifact in ran.results.artifacts
    ]
    facts = RunFacts(ran.folder, ran.results.model_copy(update={"artifacts": tuple(failed)}), ran.recipe)
    assert default_choice(facts.results) == ("student", "onnx")
    with pytest.raises(InputError, match="int8 must not be published: a gate"):
        layout(facts, ["int8"], REPO)


def test_an_engine_is_refused_and_the_graph_that_it_is_built_from_is_named(ran: Ran) -> None:
    engines = [
        artifact.model_copy(update={"stage": "engine"} if artifact.name == "int8" else {})
        for artifact in ran.results.artifacts
    ]
    facts = RunFacts(ran.folder, ran.results.model_copy(update={"artifacts": tuple(engines)}), ran.recipe)
    with pytest.raises(InputError, match=r"int8 holds engines for one kind of GPU, .*publish onnx, which it is"):
        layout(facts, ["int8"], REPO)


def test_an_artifact_that_changed_since_it_was_measured_is_refused(ran: Ran, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(ran.folder, tmp_path / "run")
    (tmp_path / "run" / "artifacts" / "int8" / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"int8 config.json has changed since it was measured"):
        layout(RunFacts.read(tmp_path / "run"), ["int8"], REPO)


def test_the_results_say_what_the_run_started_from(ran: Ran, encoder: Path, reviews: Path) -> None:
    (source,) = ran.results.models
    assert (source.name, source.id, source.local, source.license) == ("source", encoder.name, True, None)
    assert source.digest == digest_of(files_of(encoder))
    data = ran.results.data
    assert data is not None
    assert (data.path, data.local, data.max_length) == (reviews.name, True, 32)
    assert {role: split.rows for role, split in data.splits.items()} == {"train": 64, "validation": 32, "test": 32}


def test_the_flips_of_the_run_are_those_of_its_predictions(ran: Ran) -> None:
    (teacher, label), (int8, _) = measured(ran, "teacher"), measured(ran, "int8")
    before, after = teacher.argmax(axis=1), int8.argmax(axis=1)
    flips = ran.results.artifact("int8").flips
    assert flips is not None
    assert (flips.against, flips.split, flips.answers) == ("teacher", "test", len(label))
    assert flips.changed == sum(before != after)
    assert flips.won == sum((before != label) & (after == label))
    assert flips.lost == sum((before == label) & (after != label))
    assert ran.results.artifact("teacher").flips is None


def test_the_command_prints_the_card_and_changes_nothing(
    ran: Ran, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hfcompress.cli import failure, main

    monkeypatch.setattr(failure, "raise_on_sigterm", lambda: None)
    monkeypatch.setattr(sys, "argv", ["hfcompress", "card", str(ran.folder), "--repo-id", REPO])
    before = {path: path.stat().st_mtime_ns for path in ran.folder.rglob("*")}
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out == (home / REPO / "README.md").read_text(encoding="utf-8")
    assert {path: path.stat().st_mtime_ns for path in ran.folder.rglob("*")} == before
