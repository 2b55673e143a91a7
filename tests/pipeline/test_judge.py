"""What stages that search are told: the same figures as the report's, on validation alone."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.artifact import Artifact
from hfcompress.errors import InputError
from hfcompress.pipeline.judge import RecipeJudge
from hfcompress.pipeline.plan import Plan, make_plan
from hfcompress.pipeline.run import run_recipe
from hfcompress.progress import SILENT
from hfcompress.recipe import parse_recipe
from hfcompress.results import read_results
from hfcompress.runtimes.torch import TorchRuntime
from hfcompress.tasks import get_task
from tests import tiny
from tests.pipeline.conftest import Ran

pytestmark = pytest.mark.export


@pytest.fixture
def plan(classifier: Path, reviews: Path) -> Plan:
    return make_plan(parse_recipe(tiny.text_recipe(classifier, reviews)))


def test_scores_and_differences_are_those_of_the_report(ran: Ran) -> None:
    judge = RecipeJudge.of(make_plan(ran.recipe), SILENT)
    teacher, student = (Artifact(ran.folder / "artifacts" / name, "torch") for name in ("teacher", "student"))
    expected = ran.results.artifact("student")
    found = judge.score(student, against=judge.score(teacher))
    assert found.metrics == expected.validation
    assert found.difference == expected.validation_difference
    assert judge.score(student).difference == {}


def test_two_artifacts_of_one_name_are_told_apart(plan: Plan) -> None:
    judge = RecipeJudge.of(plan, SILENT)
    once = judge.score(plan.source)
    assert judge.score(plan.source, against=once).difference["accuracy"].value == 0


def test_a_sample_is_rows_of_validation_chosen_by_seed(plan: Plan) -> None:
    judge = RecipeJudge.of(plan, SILENT)
    rows = [np.concatenate([batch["row_id"] for batch in judge.sampled(10).batches(plan.source)]) for _ in range(2)]
    assert len(set(rows[0])) == 10
    assert sorted(rows[0]) == sorted(rows[1])
    assert len(judge.sampled(10).score(plan.source).answers["row_id"]) == 10
    assert judge.sampled(1000).score(plan.source).metrics == judge.score(plan.source).metrics


def test_times_are_one_for_each_pass(plan: Plan) -> None:
    found = RecipeJudge.of(plan, SILENT).time({"a": plan.source, "b": plan.source})
    assert [len(found[name]) for name in ("a", "b")] == [3, 3]
    assert all(seconds > 0 for seconds in (*found["a"], *found["b"]))


def test_a_budget_on_a_metric_that_the_labels_lack_is_refused(classifier: Path, tmp_path: Path) -> None:
    folder = tiny.save_topics(tmp_path / "topics", train=20, validation=10, test=10)
    recipe = tiny.text_recipe(classifier, folder)
    recipe["stages"]["int8"] = {"quantize": {"fallback": {"max_drop": {"accuracy": 0.01}}}}
    with pytest.raises(InputError, match="a fallback names accuracy, which these labels do not have"):
        make_plan(parse_recipe(recipe))


def fragile(folder: Path) -> Path:
    """A BERT in which one product has an outlier that meets only zeros: harmless in floating point alone."""
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(tiny.save_bert(folder, layers=1, head=True))
    layer = model.bert.encoder.layer[0]
    with torch.no_grad():
        layer.attention.output.LayerNorm.weight[0] = layer.attention.output.LayerNorm.bias[0] = 0
        layer.intermediate.dense.weight[0, 0] = 1e4
        logits = torch.from_numpy(answers(folder, model))
        model.classifier.bias[1] -= torch.median(logits[:, 1] - logits[:, 0])  # both classes occur
    model.save_pretrained(folder)
    return folder


def answers(folder: Path, model: Any = None) -> np.ndarray:
    if model is not None:
        model.save_pretrained(folder)
    task = get_task("text-classification")
    texts = [row["text"] for row in tiny.make_reviews(120, seed=7)]
    batch = task.preprocess(texts, task.load_processor(folder), 64)
    return TorchRuntime(folder, "text-classification", threads=1).predict(batch)["logits"]


def test_a_recipe_with_a_fallback_returns_the_layer_and_reports_it(tmp_path: Path) -> None:
    model, data = fragile(tmp_path / "model"), tmp_path / "data"
    data.mkdir()
    rows = [
        (row["text"], tiny.LABELS[label])
        for row, label in zip(tiny.make_reviews(120, seed=7), answers(model).argmax(axis=1), strict=True)
    ]
    for split in ("train", "validation", "test"):
        with (data / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    recipe = tiny.text_recipe(model, data)
    budget = {"max_drop": {"accuracy": 0.1}, "max_layers": 1}
    recipe["stages"] = {
        "onnx": {"export": {}},
        "int8": {"quantize": {"target": "avx2", "per_channel": False, "allow_slower": True, "fallback": budget}},
    }
    results = run_recipe(parse_recipe(recipe), out=tmp_path / "run")
    found = results.artifact("int8").fallback
    assert found is not None
    assert found.returned == ("/bert/encoder/layer.0/intermediate/dense/MatMul",)
    assert found.steps[-1].metrics == results.artifact("int8").validation
    assert results.artifact("onnx").fallback is None
    assert read_results(tmp_path / "run" / "results.json") == results
    assert (tmp_path / "run" / "fallback-int8.png").is_file()
    assert "layers returned to floating point" in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    again = run_recipe(parse_recipe(recipe), out=tmp_path / "run")
    assert again.artifact("int8").fallback == found
