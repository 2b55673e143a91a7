"""The programs of a card run as they stand, whatever the task."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hfcompress
from hfcompress.hub.choice import default_choice
from hfcompress.hub.layout import RunFacts, layout
from hfcompress.pipeline.run import run_recipe
from hfcompress.recipe import parse_recipe
from tests import tiny
from tests.hub.published import text_of, write_publication
from tests.pipeline.test_tasks import CASES, recipe_of

pytestmark = [pytest.mark.export, pytest.mark.slow]
REPO = "someone/tiny"
TRAINING = {"max_steps": 1, "per_device_train_batch_size": 4, "bf16": False}
STAGES = {
    "student": {"distill": {"student": {"keep_layers": [0]}, "training": TRAINING}},
    "onnx": {"export": {}},
    "int8": {"quantize": {"allow_slower": True}},
}


def recipe_for(case: str, folder: Path) -> dict[str, Any]:
    if case in CASES:
        return recipe_of(case, folder, stages=STAGES)
    if case == "images":
        model = tiny.save_vit(folder / "model")
        data = tiny.save_digits(folder / "data", train=20, validation=12, test=12)
        tuned = {"tuned": {"finetune": {"training": TRAINING}}}
        return {**tiny.text_recipe(model, data), "task": "image-classification", "stages": {**tuned, **STAGES}}
    rows = [{"text": "good", "text_pair": "bad", "label": label} for label in ("negative", "positive")] * 4
    data = tiny.save_json(folder / "data", lambda count, _: rows[:count], {"train": 8, "validation": 8, "test": 8})
    recipe = tiny.text_recipe(tiny.save_bert(folder / "model", layers=2, head=True), data, stages=STAGES)
    recipe["data"]["columns"] = {"text": "text", "text_pair": "text_pair", "label": "label"}
    return recipe


@pytest.mark.parametrize("case", [*CASES, "images", "two texts"])
def test_every_program_of_the_card_runs_as_it_stands(case: str, tmp_path: Path) -> None:
    from PIL import Image

    run_recipe(parse_recipe(recipe_for(case, tmp_path)), out=tmp_path / "run")
    facts = RunFacts.read(tmp_path / "run")
    publication = layout(facts, default_choice(facts.results), REPO)
    write_publication(publication, tmp_path / REPO)
    Image.new("RGB", (16, 16)).save(tmp_path / "image.png")
    programs = re.findall(r"^```python\n(.*?)^```", text_of(publication, "README.md"), flags=re.DOTALL | re.MULTILINE)
    assert len(programs) == 3
    for program in programs:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(hfcompress.__file__).parents[1]), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program}\n{done.stderr}"
        assert done.stdout.strip()
