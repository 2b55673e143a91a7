from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hfcompress.recipe import parse_recipe, references
from hfcompress.recipe.outline import outline
from hfcompress.recipe.tasks import TASKS, TaskLanguage

Faults = Callable[[Any], list[str]]


@pytest.mark.parametrize(
    "block, value, lines",
    [
        ("baseline", "techer", ["should name an artifact of this recipe, got 'techer'; did you mean `teacher`?"]),
        (
            "gates",
            [{"artifact": "int9", "against": "techer", "min_speedup": 2}],
            [
                ".0.artifact: should name an artifact of this recipe, got 'int9'; did you mean `int8`?",
                ".0.against: should name an artifact of this recipe, got 'techer'; did you mean `teacher`?",
            ],
        ),
        (
            "gates",
            [{"artifact": "int8", "against": "int8", "max_size_mb": 2}],
            [".0.against: compares 'int8' with itself; name another artifact"],
        ),
        (
            "gates",
            [{"artifact": "teacher", "min_speedup": 2}],
            [".0: compares 'teacher' with the baseline, which is 'teacher' itself; name `against`"],
        ),
        (
            "gates",
            [{"artifact": "int8", "max_drop": {"f1_macro": 0.1}}],
            [".0.max_drop.f1_macro: is not evaluated, only `accuracy`; add it to evaluate.metrics"],
        ),
        (
            "gates",
            [{"artifact": "int8", "max_p99_ms": 5, "batch": 2, "sequence": 128}],
            [
                ".0.batch: is not measured, got 2; choose from [1, 32], or add it to benchmark.batch",
                ".0.sequence: is not measured, got 128; choose from [16, 64], or add it to benchmark.sequence",
            ],
        ),
        (
            "data",
            {"path": "x", "columns": {"txt": "sentence", "Label": "y"}},
            [
                ".columns.txt: unknown role of a column; did you mean `text`?",
                ".columns.Label: unknown role of a column; did you mean `label`?",
            ],
        ),
        (
            "data",
            {"path": "x", "columns": {"image": "a"}},
            [".columns.image: unknown role of a column; choose from `text`, `label`, `text_pair`"],
        ),
        (
            "data",
            {"path": "x", "columns": {"text": "a", "label": "a"}},
            [".columns.label: reads the column 'a', and `text` reads it too; name another column"],
        ),
        (
            "data",
            {"path": "x", "splits": {"validation": "validation", "test": "test"}, "limit": {"train": 5}},
            [
                ".splits: lacks `train`, which stages.teacher.finetune needs; add it",
                ".limit.train: limits a split that `data.splits` lacks; add it there",
            ],
        ),
    ],
)
def test_a_name_that_names_nothing_is_refused(
    block: str, value: Any, lines: list[str], example: dict[str, Any], faults: Faults
) -> None:
    example[block] = value
    found = faults(example)
    assert len(found) == len(lines), found
    assert all(line.startswith(block) and line.endswith(end) for line, end in zip(found, lines, strict=True)), found


def test_the_splits_of_the_evaluation_must_be_there(example: dict[str, Any], faults: Faults) -> None:
    example["data"]["splits"] = {"train": "train", "validation": "validation"}
    del example["evaluate"]
    assert faults(example) == [
        "evaluate.report_on: reads the split `test`, which `data.splits` lacks; add it there, or read `validation`"
    ]
    example["evaluate"] = {"report_on": "validation"}
    parse_recipe(example)


def test_a_calibration_needs_a_training_split(example: dict[str, Any], faults: Faults) -> None:
    example["data"] |= {"splits": {"validation": "validation", "test": "test"}, "limit": {}}
    example["stages"] = {"onnx": {"export": {}}, "int8": {"quantize": {"calibration": {}}}}
    example |= {"baseline": "onnx", "gates": []}
    assert faults(example) == ["data.splits: lacks `train`, which stages.int8.quantize needs; add it"]
    example["stages"]["int8"]["quantize"] = {}
    parse_recipe(example)


def test_a_misspelt_split_is_one_fault(example: dict[str, Any], faults: Faults) -> None:
    example["data"]["splits"] = {"trian": "train", "validation": "validation", "test": "test"}
    assert faults(example) == ["data.splits.trian: unknown key; did you mean `train`?"]


def test_absolute_bounds_need_nothing_to_compare_with(example: dict[str, Any]) -> None:
    example["gates"] = [{"artifact": "teacher", "max_size_mb": 100, "max_p50_ms": 9, "batch": 32, "sequence": 16}]
    (gate,) = parse_recipe(example).gates
    assert (gate.against, gate.max_size_mb, gate.max_p50_ms) == (None, 100, 9)


def test_source_may_be_judged_and_compared_with(example: dict[str, Any]) -> None:
    example["gates"] = [
        {"artifact": "int8", "against": "source", "min_speedup": 2},
        {"artifact": "source", "max_size_mb": 100},
    ]
    gates = parse_recipe(example).gates
    assert [(gate.artifact, gate.against) for gate in gates] == [("int8", "source"), ("source", None)]


def test_images_have_no_sequence(example: dict[str, Any], faults: Faults) -> None:
    example |= {"task": "image-classification", "data": {"path": "x"}}
    parse_recipe(example)  # benchmark.sequence is not used, and no fault
    example["gates"] = [{"artifact": "int8", "max_p50_ms": 3, "sequence": 16}]
    assert faults(example) == ["gates.0.sequence: image-classification has no sequence length, got 16; remove it"]


def test_a_metric_that_the_task_lacks_is_named(example: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    language = TaskLanguage(required=("text",), optional=(), metrics=("accuracy",), has_sequence=True)
    monkeypatch.setitem(TASKS, "text-classification", language)
    example["evaluate"]["metrics"] = ["accuracy", "f1_macro"]
    example["data"]["columns"] = {}
    (fault,) = references.reference_faults(outline(example))
    assert str(fault) == (
        "evaluate.metrics.1: is no metric of text-classification, got 'f1_macro'; choose from `accuracy`"
    )


def test_a_block_of_the_wrong_kind_is_one_fault(example: dict[str, Any], faults: Faults) -> None:
    for block in ("data", "evaluate", "benchmark", "gates", "stages"):
        found = faults({**example, "baseline": None, "gates": [], block: 5})
        assert [line for line in found if line.startswith(f"{block}: should be a ")] == found


@pytest.mark.parametrize(
    "unlabeled, lines",
    [
        (
            {"path": "y", "columns": {"label": "z"}},
            [".columns.label: names labels, which these rows do not have; remove it"],
        ),
        (
            {"path": "y", "columns": {"txt": "z"}},
            [".columns.txt: unknown role of a column; did you mean `text`?"],
        ),
        (
            {"path": "y", "columns": {"text_pair": "z"}},
            [".columns.text_pair: is not read, as data.columns names no `text_pair`; name it there too"],
        ),
    ],
)
def test_unlabelled_rows_have_the_roles_of_their_task(
    unlabeled: Any, lines: list[str], example: dict[str, Any], faults: Faults
) -> None:
    example["data"]["unlabeled"] = unlabeled
    assert faults(example) == [f"data.unlabeled{line}" for line in lines]


def test_unlabelled_rows_need_a_stage_that_distils(example: dict[str, Any], faults: Faults) -> None:
    example["data"]["unlabeled"] = {"path": "y", "limit": 5}
    parse_recipe(example)
    example["stages"] = {"teacher": example["stages"]["teacher"]}
    example["gates"] = []
    assert faults(example) == [
        "data.unlabeled: is read by `distill` and `qat` stages, and this recipe has none; "
        "remove it, or add such a stage"
    ]


@pytest.mark.parametrize(
    "evaluate, max_drop, line",
    [
        (
            {},
            {"f1_macro": 0.1},
            ".max_drop.f1_macro: is not evaluated, only `accuracy`; add it to evaluate.metrics",
        ),
        (
            {"metrics": ["mse"]},
            {"mse": 0.1},
            ".max_drop.mse: is better when it is less; name a metric of which more is better",
        ),
        (
            {"gates_on": "test"},
            {"accuracy": 0.1},
            ": is searched on `validation`, and evaluate.gates_on is `test`; set that to validation",
        ),
    ],
)
def test_a_fallback_is_bound_by_what_is_scored_on_validation(
    evaluate: dict[str, Any], max_drop: dict[str, float], line: str, example: dict[str, Any], faults: Faults
) -> None:
    example |= {"gates": [], "evaluate": evaluate}
    example["stages"]["int8"] = {"quantize": {"fallback": {"max_drop": max_drop}}}
    assert faults(example) == [f"stages.int8.quantize.fallback{line}"]


def test_a_fallback_needs_validation_rows(example: dict[str, Any], faults: Faults) -> None:
    example["data"]["splits"] = {"train": "train", "test": "test"}
    example["stages"]["int8"] = {"quantize": {"fallback": {"max_drop": {"accuracy": 0.003}}}}
    (fault,) = faults(example)
    assert fault.startswith("evaluate.gates_on: reads the split `validation`, which `data.splits` lacks; add it there")


@pytest.mark.parametrize(
    "metrics, gate, line",
    [
        (
            ["mse"],
            {"artifact": "int8", "max_drop": {"mse": 0.1}},
            "max_drop.mse: is better when it is less; bound it by `max_rise`",
        ),
        (
            ["pearson"],
            {"artifact": "int8", "max_rise": {"pearson": 0.1}},
            "max_rise.pearson: is better when it is more; bound it by `max_drop`",
        ),
    ],
)
def test_a_metric_is_bound_on_the_side_where_it_gets_worse(
    metrics: list[str], gate: dict[str, Any], line: str, example: dict[str, Any], faults: Faults
) -> None:
    example["evaluate"]["metrics"] = metrics
    example["gates"] = [gate]
    assert faults(example) == [f"gates.0.{line}"]
