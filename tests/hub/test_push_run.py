"""`hfcompress push`, as a user types it, from a finished run to a Hub on a real socket."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hfcompress.artifact import read_manifest, write_manifest
from hfcompress.pipeline.folder import RunFolder
from hfcompress.recipe.loader import dump_recipe, load_recipe, parse_recipe
from tests.hub.conftest import Ask
from tests.hub.finished_run import STAGES, write_run
from tests.hub.server import HubServer
from tests.report import examples

pytestmark = pytest.mark.skipif(
    find_spec("hfcompress.hub.layout") is None, reason="nothing makes a repository of a run"
)

NAME = "tester/student"
OTHER_RECIPE = "is not of the recipe beside it"
EPOCHS = {"finetune": {"training": {"num_train_epochs": 77}}}


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
    failed = examples.gate("accuracy drop against teacher", "max_drop", 0.01, 0.02, False)
    run = write_run(tmp_path / "run", examples.demo(gates=(failed,)))  # the verdict counts, whatever a mark says
    assert command("push", run, NAME)["code"] == 0
    files = hub.store.repositories[NAME].files()
    assert "onnx/model.onnx" in files
    graph = (run / "artifacts/int8/model_quantized.onnx").read_bytes()
    assert graph not in files.values()
    refused = command("push", run, NAME, "--artifact", "int8")
    assert refused["code"] == 2
    assert "int8 must not be published" in refused["err"]
    nothing = examples.demo(gates=(failed.model_copy(update={"artifact": "teacher"}),))
    refused = command("push", write_run(tmp_path / "failed", nothing), "tester/other")
    assert refused["code"] == 2
    assert "may be published" in refused["err"]
    assert "tester/other" not in hub.store.repositories


@pytest.mark.parametrize("judged", [False, True])
def test_a_gate_that_nobody_judged_lets_nothing_through(
    hub: HubServer, command: Any, tmp_path: Path, judged: bool
) -> None:
    verdicts = (examples.gate("p99 latency", "max_p99_ms", 5.0, 3.0, True),) if judged else ()
    gates = [{"artifact": "int8", "max_p99_ms": 5.0}]
    run = write_run(tmp_path / "run", examples.demo(gates=verdicts), gates=gates)
    assert command("push", run, NAME)["code"] == 0
    assert ("onnx/model_quantized.onnx" in hub.store.repositories[NAME].files()) is judged


def test_results_without_a_mark_let_nothing_through(hub: HubServer, command: Any, run: Path) -> None:
    said = json.loads((run / "results.json").read_text())
    for artifact in said["artifacts"]:
        del artifact["publishable"]
    (run / "results.json").write_text(json.dumps(said))
    refused = command("push", run, NAME)
    assert refused["code"] == 2
    assert "may be published" in refused["err"]
    assert hub.names() == []


def test_a_card_is_the_one_that_is_pushed_and_of_the_version_that_ran(hub: HubServer, command: Any, run: Path) -> None:
    _begin_another(run, publish={"repo_id": NAME, "artifacts": ["onnx"]})
    assert command("push", run)["code"] == 0
    card = hub.store.repositories[NAME].files()["README.md"].decode()
    assert command("card", run)["out"] == card
    assert "(report.html)" in card
    assert "hfcompress[onnxruntime]==0.1.0'" in card


def test_a_dry_run_says_what_only_a_push_can_know(command: Any, run: Path, tmp_path: Path) -> None:
    later = ("The namespace is that of the token's owner", "model.sig, the signature, is made when it is pushed")
    shown = command("push", run, "student", "--dry-run", "--sign", tmp_path / "key.pem")["out"]
    assert all(line in shown for line in later)
    shown = command("push", run, NAME, "--dry-run")["out"]
    assert not any(line in shown for line in later)


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
        (lambda run: _make_again(run / "artifacts/onnx"), "onnx is not the onnx that was measured"),
        (lambda run: (run / "results.json").write_text("{}"), "is not a results file"),
        (lambda run: _begin_another(run, gates=[{"artifact": "int8", "min_speedup": 1000}]), OTHER_RECIPE),
        (lambda run: _begin_another(run, stages={**STAGES, "teacher": EPOCHS}), OTHER_RECIPE),
        (lambda run: _forget(run / "results.json", "recipe_sha256"), OTHER_RECIPE),
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
    unprinted = command("card", run)
    assert (unprinted["code"], unprinted["out"]) == (2, "")
    assert re.search(said, unprinted["err"])


def test_where_a_run_is_published_is_no_part_of_what_was_run(hub: HubServer, command: Any, run: Path) -> None:
    _begin_another(run, publish={"repo_id": NAME})
    assert command("push", run)["code"] == 0
    assert NAME in hub.store.repositories


def _begin_another(run: Path, **changes: Any) -> None:
    """As a run with another recipe that was stopped before it had any results."""
    recipe = load_recipe(run / "recipe.yaml").model_dump(mode="json", by_alias=True, exclude_defaults=True)
    (run / "recipe.yaml").write_text(dump_recipe(parse_recipe({**recipe, **changes})))


def _forget(path: Path, key: str) -> None:
    """As a version wrote it that did not know the key."""
    said = json.loads(path.read_text())
    del said[key]
    path.write_text(json.dumps(said))


def _make_again(artifact: Path) -> None:
    """As a stage that was run again and stopped before it was measured."""
    from hfcompress.artifact import hash_folder

    (artifact / "model.onnx").write_bytes(b"another graph")
    manifest = read_manifest(artifact)
    assert manifest is not None
    write_manifest(artifact, manifest.model_copy(update={"files": hash_folder(artifact)}))


def test_a_run_that_is_in_use_is_not_published(hub: HubServer, command: Any, run: Path) -> None:
    with RunFolder(run).locked():
        refused = [command("push", run, NAME), command("push", run, NAME, "--dry-run"), command("report", run)]
    assert [each["code"] for each in refused] == [2, 2, 2]
    assert all("is in use by process" in each["err"] for each in refused)
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
