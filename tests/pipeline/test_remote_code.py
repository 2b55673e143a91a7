"""A model with code of its own: refused as it is, and carried through every stage once the user allows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hfcompress.errors import ModelError
from hfcompress.pipeline.build import Options
from hfcompress.pipeline.run import run_recipe
from hfcompress.recipe import parse_recipe
from tests import tiny

CODE = """
from transformers import BertForSequenceClassification


class OwnForSequenceClassification(BertForSequenceClassification):
    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, labels=None, **options):
        return super().forward(input_ids, attention_mask, token_type_ids, labels=labels, return_dict=True)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tiny.save_bert(tmp_path / "own", head=True)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "modeling_own.OwnForSequenceClassification"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_own.py").write_text(CODE)
    return folder


def test_its_code_runs_only_when_the_user_says_so(own: Path, reviews: Path, tmp_path: Path) -> None:
    made = tiny.text_recipe(own, reviews)
    made["stages"] = {"teacher": made["stages"]["teacher"]}
    recipe = parse_recipe(made)
    with pytest.raises(ModelError, match=r"modeling_own\.OwnForSequenceClassification.*--trust-remote-code"):
        run_recipe(recipe, out=tmp_path / "run")
    results = run_recipe(recipe, out=tmp_path / "run", options=Options(trust_remote_code=True))
    assert {artifact.name for artifact in results.artifacts} == {"source", "teacher"}
