"""A run that was published to a Hub, from the side of somebody who downloads it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import hfcompress
from hfcompress.hub.choice import default_choice
from hfcompress.hub.layout import RunFacts, layout
from tests.hub import run_snippets
from tests.hub.conftest import client_environment
from tests.hub.published import write_publication
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
PUSH = """
import sys
sys.path.insert(0, {root!r})
from tests.hub.hub_client import push_folder
print(push_folder({folder!r}, {repo!r}, "tiny")["commit"])
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
def machine(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    facts = RunFacts.read(ran.folder)
    folder = tmp_path_factory.mktemp("download")
    write_publication(layout(facts, default_choice(facts.results), REPO), folder / "published")
    with HubServer().running() as hub:
        sender, reader = Machine(hub, folder / "sender"), Machine(hub, folder / "reader")
        sender.run("-c", PUSH.format(root=ROOT, folder=str(folder / "published"), repo=REPO))
        yield reader


def test_the_programs_of_the_downloaded_card_give_the_logits_that_were_measured(
    ran: Ran, machine: Machine, reviews: Path
) -> None:
    with (reviews / "test.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    order = np.argsort([-len(text.split()) for text in texts], kind="stable")
    (machine.folder / "texts.json").write_text(json.dumps([texts[row] for row in order]), encoding="utf-8")
    card = machine.run("-c", FETCH.format(repo=REPO)).splitlines()[-1]
    machine.run(str(run_snippets.__file__), card, "texts.json", "found.json")
    found: dict[str, Any] = json.loads((machine.folder / "found.json").read_text(encoding="utf-8"))
    table = pq.read_table(ran.folder / "predictions" / "int8-test.parquet")
    logits, label = (np.array(table[name].to_pylist())[order] for name in ("logits", "label"))
    assert np.allclose(found["hfcompress"], logits, atol=1e-4)
    accuracy = (np.argmax(found["hfcompress"], axis=1) == label).mean()
    assert accuracy == ran.results.artifact("int8").metrics["accuracy"].value
    student = np.array(pq.read_table(ran.folder / "predictions" / "student-test.parquet")["logits"].to_pylist())[order]
    assert np.allclose(found["transformers"], student, atol=1e-4)
