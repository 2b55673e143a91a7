"""A run whose gates let some of it through, pushed by the command to a Hub, and from there to another machine."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import hfcompress
from hfcompress.pipeline.run import run_recipe
from hfcompress.recipe import parse_recipe
from tests.hub import run_snippets
from tests.hub.conftest import client_environment
from tests.hub.server import USER, HubServer
from tests.pipeline.conftest import Ran

pytestmark = pytest.mark.export
REPO = f"{USER}/tiny"
ROOT = str(Path(hfcompress.__file__).parents[1])
#: What the programs of the card do not do by themselves.
FETCH = """
from huggingface_hub import hf_hub_download
print(hf_hub_download({repo!r}, "README.md"))
"""
#: `hfcompress report` where plots come out as other bytes, as under another matplotlib.
REDRAW = """
import sys
from hfcompress.cli import main
from hfcompress.report import canvas
canvas.DPI = 90
sys.argv = ["hfcompress", "report", {folder!r}]
main()
"""


class Machine:
    """Another machine: an empty folder and an empty cache."""

    def __init__(self, hub: HubServer, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.environment = {**client_environment(hub, folder / "home"), "PYTHONPATH": ROOT}

    def run(self, *arguments: str) -> str:
        """What a Python process there prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    """A Hub of this file's own, which keeps what is pushed first."""
    with HubServer().running() as running:
        yield running


@pytest.fixture(scope="module")
def judged(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The run again, with a gate that the student passes and one that INT8 fails; nothing else is to be done anew."""
    folder = tmp_path_factory.mktemp("judged") / "tiny"
    shutil.copytree(ran.folder, folder)
    gates = [{"artifact": "student", "max_drop": {"accuracy": 1.0}}, {"artifact": "int8", "max_size_mb": 1e-6}]
    recipe = ran.recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    changed = parse_recipe({**recipe, "gates": gates})
    return Ran(changed, folder, run_recipe(changed, out=folder))


@pytest.fixture(scope="module")
def sender(hub: HubServer, judged: Ran, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The machine that has pushed the run."""
    machine = Machine(hub, tmp_path_factory.mktemp("sender") / "machine")
    assert " files are new: " in machine.run("-m", "hfcompress", "push", str(judged.folder), REPO)
    return machine


def test_what_is_pushed_are_the_bytes_that_passed_their_gates(hub: HubServer, sender: Machine, judged: Ran) -> None:
    assert {gate.artifact: gate.passed for gate in judged.results.gates} == {"student": True, "int8": False}
    files = hub.store.repositories[REPO].files()
    artifacts = judged.folder / "artifacts"
    assert files["model.safetensors"] == (artifacts / "student" / "model.safetensors").read_bytes()
    assert files["onnx/model.onnx"] == (artifacts / "onnx" / "model.onnx").read_bytes()
    assert files["pareto.png"] == (judged.folder / "pareto.png").read_bytes()
    assert {"README.md", "report.html", "results.json", "recipe.yaml", "manifest.json"} < files.keys()
    assert (artifacts / "int8" / "model_quantized.onnx").read_bytes() not in files.values()
    assert set(json.loads(files["manifest.json"])["artifacts"]) == {"student", "onnx"}


def test_another_push_changes_nothing_whatever_draws_the_report_between(
    hub: HubServer, sender: Machine, judged: Ran
) -> None:
    before = hub.store.repositories[REPO].refs["main"]
    sender.run("-c", REDRAW.format(folder=str(judged.folder)))
    said = sender.run("-m", "hfcompress", "push", str(judged.folder), REPO)
    assert said.startswith("nothing to push: these ")
    assert hub.store.repositories[REPO].refs["main"] == before


@pytest.mark.slow
def test_the_programs_of_the_downloaded_card_give_the_logits_that_were_measured(
    hub: HubServer, sender: Machine, judged: Ran, reviews: Path, tmp_path: Path
) -> None:
    machine = Machine(hub, tmp_path / "reader")
    with (reviews / "test.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    order = np.argsort([-len(text.split()) for text in texts], kind="stable")
    (machine.folder / "texts.json").write_text(json.dumps([texts[row] for row in order]), encoding="utf-8")
    card = machine.run("-c", FETCH.format(repo=REPO)).splitlines()[-1]
    machine.run(str(run_snippets.__file__), card, "texts.json", "found.json")
    found: dict[str, Any] = json.loads((machine.folder / "found.json").read_text(encoding="utf-8"))
    table = pq.read_table(judged.folder / "predictions" / "student-test.parquet")
    logits, label = (np.array(table[name].to_pylist())[order] for name in ("logits", "label"))
    assert np.allclose(found["hfcompress"], logits, atol=1e-4)
    assert np.allclose(found["transformers"], logits, atol=1e-4)
    accuracy = (np.argmax(found["hfcompress"], axis=1) == label).mean()
    assert accuracy == judged.results.artifact("student").metrics["accuracy"].value
    onnx = np.array(pq.read_table(judged.folder / "predictions" / "onnx-test.parquet")["logits"].to_pylist())[order]
    scores = np.exp(onnx - np.logaddexp.reduce(onnx, axis=1, keepdims=True)).max(axis=1)
    assert np.allclose([answer["score"] for answer in found["optimum"]], scores, atol=1e-4)
