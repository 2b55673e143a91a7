"""A recipe that trains for INT8, from fine-tuning to the exported graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from hfcompress.errors import ModelError
from hfcompress.models.loading import load_model, save_model
from hfcompress.pipeline.plan import make_plan
from hfcompress.pipeline.run import run_recipe
from hfcompress.quantize.qat import fake_quantize_
from hfcompress.quantize.targets import SCHEMES
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.training_stages import QatConfig
from hfcompress.training.answers import unlabelled_inputs_of
from tests import tiny


def recipe(model: Path, data: Path, **changes: Any) -> dict[str, Any]:
    """Fine-tune, train for INT8 with the fine-tuned model as the teacher, export."""
    raw = tiny.text_recipe(model, data, **changes)
    training = {**raw["stages"]["teacher"]["finetune"]["training"], "learning_rate": 1e-3}
    raw["stages"] = {
        "teacher": raw["stages"]["teacher"],
        "aware": {"qat": {"teacher": ["teacher"], "training": training, "allow_slower": True}},
        "int8": {"export": {}},
    }
    return raw


@pytest.mark.export
def test_what_was_trained_for_int8_is_what_the_graph_answers(reviews: Path, tmp_path: Path) -> None:
    raw = recipe(
        tiny.save_bert(tmp_path / "encoder", layers=2),
        reviews,
        gates=[{"artifact": "int8", "against": "teacher", "max_drop": {"accuracy": 0.2}}],
    )
    results = run_recipe(parse_recipe(raw), out=tmp_path / "run")
    assert [artifact.name for artifact in results.artifacts] == ["teacher", "aware", "int8"]
    assert results.passed

    logits = []
    for name in ("aware", "int8"):
        table = pq.read_table(tmp_path / "run" / "predictions" / f"{name}-test.parquet")
        logits.append(np.array(table["logits"].to_pylist()))
    assert np.array_equal(logits[0].argmax(-1), logits[1].argmax(-1))
    # Query, key, value, attention output and two of the feed-forward network in each of two layers, and the head's two.
    assert (results.artifact("int8").integer_operators or 0) >= 14


@pytest.mark.parametrize("verb", ["finetune", "distill", "qat"])
def test_a_source_that_was_trained_for_int8_is_refused_before_any_work(
    verb: str, classifier: Path, reviews: Path, tmp_path: Path
) -> None:
    model, tokenizer = load_model(classifier, "text-classification"), AutoTokenizer.from_pretrained(classifier)
    batch = unlabelled_inputs_of(model, tokenizer("a good word1", return_tensors="pt"))
    fake_quantize_(model, QatConfig(), SCHEMES["avx512_vnni"], [batch])
    save_model(model, tokenizer, tmp_path / "rounded")
    raw = recipe(tmp_path / "rounded", reviews)
    raw["stages"] = {"again": {verb: {}}}
    with pytest.raises(ModelError, match=r"stages\.again takes a model in floating point, but .* is fake-quantized"):
        make_plan(parse_recipe(raw))


@pytest.mark.parametrize("target", ["tensorrt", "openvino"])
def test_training_is_for_runtimes_with_rules_of_their_own_too(target: str, classifier: Path, reviews: Path) -> None:
    raw = recipe(classifier, reviews)
    raw["stages"]["aware"]["qat"]["target"] = target
    assert parse_recipe(raw).stages["aware"].qat == QatConfig(**raw["stages"]["aware"]["qat"])
