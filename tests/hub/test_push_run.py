"""`hfcompress push`, as a user types it, from a finished run to a Hub on a real socket."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hfcompress.artifact import read_manifest, write_manifest
from hfcompress.pipeline.folder import RunFolder
from tests.hub.conftest import Ask
from tests.hub.finished_run import write_run
from tests.hub.server import HubServer
from tests.report import examples

pytestmark = pytest.mark.skipif(
    find_spec("hfcompress.hub.layout") is None, reason="nothing makes a repository of a run"
)

NAME = "tester/student"


@pytest.fixture
def command(client: Ask) -> Any:
    """Type a command; gives its exit code and what it printed."""

    def typed(*words: object) -> dict[str, Any]:
        return client("command_line", arguments=[str(word) for word in words])

    return typed


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run whose gates passed."""
    return write_run(tmp_path / "run")


def test_a_dry_run_shows_files_sizes_and_card_and_asks_nobody(hub: HubServer, command: Any, run: Path) -> None:
    shown = command("push", run, "student", "--dry-run")
    assert shown["code"] == 0
    lines = shown["out"].splitlines()
    sizes = {line.split()[0]: line.split()[1] for line in lines if line.endswith(" MB")}
    assert {"README.md", "manifest.json", "model.safetensors", "onnx/model.onnx"} <= set(sizes)
    assert float(sizes["onnx/model_quantized.onnx"]) == pytest.approx(0.0017, abs=1e-3)
    assert "Texts and images of the data stay here" in shown["out"]
    assert "\n---\n" in shown["out"]
    assert hub.names() == []
    told = json.loads(command("push", run, "student", "--dry-run", "--format", "json")["out"])
    assert (told["event"], told["repo_id"], told["revision"]) == ("publication", "student", "main")
    assert told["files"]["onnx/model_quantized.onnx"] == (run / "artifacts/int8/model_quantized.onnx").stat().st_size
    assert shown["out"].endswith(told["card"])


def test_a_push_brings_the_run_and_a_second_one_changes_nothing(hub: HubServer, command: Any, run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    shown = command("push", run, "student", "--private")
    repository = hub.store.repositories[NAME]
    assert (shown["code"], shown["err"]) == (0, "")
    assert f"files are new: {hub.url}/{NAME}/commit/{repository.refs['main']}" in shown["out"]
    assert "torch" not in shown["imports"]
    files = repository.files()
    assert files["model.safetensors"] == (run / "artifacts/student/model.safetensors").read_bytes()
    assert files["onnx/model_quantized.onnx"] == (run / "artifacts/int8/model_quantized.onnx").read_bytes()
    assert repository.private
    again = command("push", run, NAME, "--format", "json")
    assert json.loads(again["out"])["url"] is None
    assert repository.titles() == ["sentiment-demo: student, onnx, int8"]
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "lock"}
    assert kept == before


def test_what_failed_a_gate_and_what_is_made_from_it_never_leaves(hub: HubServer, command: Any, tmp_path: Path) -> None:
    results = examples.changed(examples.demo(), "int8", publishable=False)
    run = write_run(tmp_path / "run", results)
    assert command("push", run, NAME)["code"] == 0
    files = hub.store.repositories[NAME].files()
    assert "onnx/model.onnx" in files
    graph = (run / "artifacts/int8/model_quantized.onnx").read_bytes()
    assert graph not in files.values()
    refused = command("push", run, NAME, "--artifact", "int8")
    assert refused["code"] == 2
    assert "int8 must not be published" in refused["err"]
    nothing = examples.changed(examples.changed(examples.failed(), "teacher", publishable=False), "onnx")
    refused = command("push", write_run(tmp_path / "failed", nothing), "tester/other")
    assert refused["code"] == 2
    assert "may be published" in refused["err"]
    assert "tester/other" not in hub.store.repositories


def test_the_recipe_says_where_to_and_the_command_line_goes_before_it(
    hub: HubServer, command: Any, tmp_path: Path
) -> None:
    publish = {"repo_id": "tester/said", "revision": "v1", "artifacts": ["onnx"], "private": True}
    run = write_run(tmp_path / "run", publish=publish)
    assert command("push", run)["code"] == 0
    said = hub.store.repositories["tester/said"]
    assert said.private
    assert "onnx/model.onnx" in said.files("v1")
    assert "model.safetensors" not in said.files("v1")
    assert said.files() == {}
    options = ["--public", "--revision", "main", "--artifact", "student"]
    assert command("push", run, "tester/asked", *options)["code"] == 0
    asked = hub.store.repositories["tester/asked"]
    assert not asked.private
    assert "model.safetensors" in asked.files()
    refused = command("push", run, "--create-pr")
    assert refused["code"] == 2
    assert "create_pr proposes to main" in refused["err"]


@pytest.mark.parametrize(
    ("break_", "said"),
    [
        (lambda run: (run / "results.json").unlink(), "results.json is missing; run the recipe first"),
        (lambda run: (run / "recipe.yaml").unlink(), "recipe.yaml is missing; run the recipe first"),
        (lambda run: (run / "artifacts/onnx/model.onnx").write_bytes(b"other"), "run the recipe again"),
        (lambda run: _make_again(run / "artifacts/onnx"), "onnx in .* is not the one that was measured"),
        (lambda run: (run / "results.json").write_text("{}"), "is not a results file"),
    ],
)
def test_a_folder_that_is_not_what_was_measured_is_refused_and_the_hub_not_asked(
    hub: HubServer, command: Any, run: Path, break_: Any, said: str
) -> None:
    import re

    break_(run)
    refused = command("push", run, NAME)
    assert refused["code"] == 2
    assert re.search(said, refused["err"])
    assert hub.names() == []


def _make_again(artifact: Path) -> None:
    """As a stage that was run again and stopped before it was measured."""
    from hfcompress.artifact import hash_folder

    (artifact / "model.onnx").write_bytes(b"another graph")
    manifest = read_manifest(artifact)
    assert manifest is not None
    write_manifest(artifact, manifest.model_copy(update={"files": hash_folder(artifact)}))


def test_a_run_that_is_in_use_is_not_published(hub: HubServer, command: Any, run: Path) -> None:
    with RunFolder(run).locked():
        refused = command("push", run, NAME)
    assert refused["code"] == 2
    assert "is in use by process" in refused["err"]
    assert hub.names() == []


def test_a_hub_that_refuses_is_exit_code_four_and_one_that_is_not_named_two(
    hub: HubServer, command: Any, run: Path
) -> None:
    refused = command("push", run, "somebody/else")
    assert refused["code"] == 4
    assert refused["err"].startswith("error: somebody/else: creating the repository: the token may not do this (403)")
    refused = command("push", run)
    assert refused["code"] == 2
    assert "give the repository: namespace/name" in refused["err"]
