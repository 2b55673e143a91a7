"""Each task from a fine-tuned model to INT8: measured, judged, reported, and its answers kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from hfcompress.errors import DataError, InputError
from hfcompress.pipeline.plan import make_plan
from hfcompress.pipeline.predictions import read_predictions, write_predictions
from hfcompress.pipeline.run import run_recipe
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.tasks import LESS_IS_BETTER, TaskName
from hfcompress.report.figures import metric_figure
from hfcompress.tasks.columns import Ragged
from hfcompress.tasks.labels import Labels
from tests import tiny

pytestmark = pytest.mark.export

SEVERAL = Labels(("good", "bad", "numbered"), {}, "multi_label_classification")
NUMBER = Labels(("LABEL_0",), {}, "regression")
TAGS = Labels(tiny.TAGS, {}, None)
CASES: dict[str, tuple[TaskName, Labels | None, Any, list[str], set[str]]] = {
    "several": ("text-classification", SEVERAL, tiny.save_topics, ["f1_micro", "subset_accuracy"], {"logits"}),
    "numbers": ("text-classification", NUMBER, tiny.save_scores, ["spearman", "mse"], {"logits"}),
    "tags": ("token-classification", TAGS, tiny.save_tagged, ["f1", "accuracy", "f1_macro"], set()),
    "masks": ("masked-lm", None, tiny.save_lines, ["perplexity", "accuracy"], {"nll"}),
    "pairs": ("feature-extraction", None, tiny.save_pairs, ["spearman", "pearson"], set()),
    "spans": ("question-answering", None, tiny.save_questions, ["f1", "exact_match"], {"f1", "exact_match"}),
}


def recipe_of(case: str, folder: Path, **changes: Any) -> dict[str, Any]:
    task, labels, save, metrics, _ = CASES[case]
    model = tiny.save_bert(folder / "model", layers=2, head=task, labels=labels)
    recipe = tiny.text_recipe(model, save(folder / "data", train=12, validation=8, test=8))
    return {
        **recipe,
        "task": task,
        "stages": {"onnx": {"export": {}}, "int8": {"quantize": {"allow_slower": True}}},
        "evaluate": {"metrics": metrics},
        **changes,
    }


#: The one with a metric of which less is better, and several answers a row.
QUICK = ("masks",)


@pytest.mark.parametrize("case", [pytest.param(c, marks=() if c in QUICK else pytest.mark.slow) for c in CASES])
def test_a_task_is_measured_judged_and_reported(case: str, tmp_path: Path) -> None:
    task, _, _, metrics, kept = CASES[case]
    bound = "max_rise" if metrics[0] in LESS_IS_BETTER else "max_drop"
    gate = {"artifact": "onnx", "against": "source", bound: {metrics[0]: 0.001}}
    results = run_recipe(parse_recipe(recipe_of(case, tmp_path, gates=[gate])), out=tmp_path / "run")
    assert results.passed
    assert results.task == task
    source, onnx, int8 = results.artifacts
    for metric in metrics:
        found = source.metrics[metric]
        assert found.low <= found.value <= found.high
        assert onnx.metrics[metric].value == pytest.approx(found.value, abs=1e-4)
        assert int8.difference[metric].against == "source"
    table = pq.read_table(tmp_path / "run" / "predictions" / "int8-test.parquet")
    assert table["row_id"].to_pylist() == list(range(8))
    assert kept | {"prediction"} <= set(table.column_names)
    report = (tmp_path / "run" / "report.md").read_text()
    assert metric_figure(metrics[0], source.metrics[metrics[0]].value) in report
    assert f"{metrics[0]} {bound.removeprefix('max_')} against source" in report.replace("\\", "")


@pytest.mark.parametrize(
    "case, metrics, message",
    [
        (
            "several",
            ["accuracy"],
            "evaluate.metrics names accuracy, which these labels do not have .* f1_micro, f1_macro",
        ),
        ("numbers", ["f1_macro"], r"do not have \(numbers, which is regression\); there are: pearson, spearman, mse"),
    ],
)
def test_a_metric_that_the_labels_do_not_have_is_named(
    case: str, metrics: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(parse_recipe(recipe_of(case, tmp_path, evaluate={"metrics": metrics})))


def test_entities_need_tags_that_begin_with_b_or_i(tmp_path: Path) -> None:
    names = Labels(("NOUN", "VERB"), {}, None)
    model = tiny.save_bert(tmp_path / "model", head="token-classification", labels=names)
    row = {"tokens": ["a", "b"], "tags": ["NOUN", "VERB"]}
    data = tiny.save_json(tmp_path / "data", lambda rows, _: [row] * rows, {"train": 2, "validation": 2, "test": 2})
    recipe = tiny.text_recipe(model, data, task="token-classification", stages={"onnx": {"export": {}}})
    assert make_plan(parse_recipe(recipe)).metrics == ("accuracy",)
    with pytest.raises(InputError, match="names f1, which these labels do not have"):
        make_plan(parse_recipe({**recipe, "evaluate": {"metrics": ["f1"]}}))


MAIN = {"several": ("f1_micro",), "numbers": ("pearson",), "tags": ("f1",), "masks": ("accuracy",)}


@pytest.mark.parametrize("case, metrics", MAIN.items())
def test_the_main_metric_follows_the_labels(case: str, metrics: tuple[str, ...], tmp_path: Path) -> None:
    assert make_plan(parse_recipe(recipe_of(case, tmp_path, evaluate={}))).metrics == metrics


def test_a_gate_on_a_metric_that_is_not_scored_is_named(tmp_path: Path) -> None:
    # The recipe alone says `accuracy`, the first of the task; these labels say `f1_micro`.
    gate = {"artifact": "int8", "against": "onnx", "max_drop": {"accuracy": 0.1}}
    with pytest.raises(InputError, match="a gate names accuracy, which these labels do not have"):
        make_plan(parse_recipe(recipe_of("several", tmp_path, evaluate={}, gates=[gate])))


def test_labels_of_another_problem_than_the_models_are_refused(tmp_path: Path, classifier: Path) -> None:
    recipe = {**recipe_of("numbers", tmp_path), "model": str(classifier)}
    with pytest.raises(
        DataError, match=r"holds numbers, which is regression, but the model .* is fine-tuned for single"
    ):
        make_plan(parse_recipe(recipe))


def test_integers_are_scores_for_a_model_of_regression(tmp_path: Path) -> None:
    recipe = recipe_of("numbers", tmp_path)
    rows = [{"text": "good", "label": label} for label in (1, 5, 9)]
    for split in ("train", "validation", "test"):
        lines = "\n".join(json.dumps(row) for row in rows)
        (tmp_path / "data" / f"{split}.jsonl").write_text(lines)
    plan = make_plan(parse_recipe(recipe))
    assert plan.data.labels.problem == "regression"
    assert plan.measures_source


def test_what_is_kept_is_read_as_it_was_written(tmp_path: Path) -> None:
    written: Any = {
        "row_id": np.arange(3),
        "logits": np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32),
        "prediction": np.array(["a", "", "ü"], dtype=object),
        "label": Ragged(np.array([4, 5, 6]), np.array([2, 0, 1])),
        "nll": Ragged(np.array([0.5, 1.5, 2.5], dtype=np.float32), np.array([2, 0, 1])),
    }
    path = tmp_path / "x.parquet"
    write_predictions(written, path, "key")
    assert read_predictions(path, "other") is None
    found = read_predictions(path, "key")
    assert found is not None
    for name, column in written.items():
        read = found[name]
        if isinstance(column, Ragged):
            assert isinstance(read, Ragged)
            np.testing.assert_array_equal(read.lengths, column.lengths)
            np.testing.assert_array_equal(read.values, column.values)
        else:
            assert isinstance(read, np.ndarray)
            assert read.dtype == column.dtype
            np.testing.assert_array_equal(read, column)
