"""What a recipe may say of a student, and what it may not say together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hfcompress.recipe import SOURCE, ModelRef, dump_recipe, inputs_of, parse_recipe, stage_order
from hfcompress.recipe.student import StudentConfig
from hfcompress.recipe.student import StudentConfig as ReImported

Faults = Callable[[Any], list[str]]
PLACE = "stages.student.distill.student"


def student(example: dict[str, Any], says: Any) -> dict[str, Any]:
    example["stages"]["student"]["distill"]["student"] = says
    return example


def test_stages_know_the_same_student() -> None:
    assert ReImported is StudentConfig


@pytest.mark.parametrize(
    "says",
    [
        {},
        {"keep_layers": [0, 2]},
        {"keep_layers": [0, 2], "architecture": "distilbert"},
        {"architecture": "distilbert"},
        {"model": "distilbert/distilbert-base-uncased"},
        {"model": {"id": "org/small", "revision": "main"}},
        {"config": {"hidden_size": 192, "depths": [2, 2]}},
    ],
)
def test_a_student_starts_from_one_thing(says: dict[str, Any], example: dict[str, Any]) -> None:
    recipe = parse_recipe(student(example, says))
    assert parse_recipe(dump_recipe(recipe)) == recipe


@pytest.mark.parametrize(
    "says, line",
    [
        ({"keep_layers": [0], "model": "a/b"}, ": a student starts from one thing, got `keep_layers` and `model`;"),
        (
            {"keep_layers": [0], "model": "a/b", "config": {"dim": 8}},
            ": a student starts from one thing, got `keep_layers`, `model` and `config`; choose one of them",
        ),
        (
            {"model": "a/b", "architecture": "distilbert"},
            ": `architecture` gives the weights of `from` other names, and `model` takes none of them; leave one",
        ),
        ({"config": {"dim": 8}, "architecture": "distilbert"}, ": `architecture` gives the weights of `from` other"),
        ({"keep_layers": []}, ".keep_layers: should hold at least 1 item, got []"),
        ({"keep_layers": [0, -1]}, ".keep_layers.1: should be at least 0, got -1"),
        ({"config": {}}, ".config: should hold at least 1 item, got {}"),
        ({"config": {"vocab_size": 9}}, ".config: cannot say vocab_size: the tokenizer of `from` decides it"),
        ({"config": {"num_labels": 9}}, ".config: cannot say num_labels: the labels of `from` decide it"),
        ({"config": {"model_type": "vit"}}, ".config: cannot say model_type: the student keeps the family of `from`"),
        ({"architecture": "tinybert"}, ".architecture: should be one of `distilbert`, got 'tinybert'"),
        ({"modle": "a/b"}, ".modle: unknown key; did you mean `model`?"),
    ],
)  # fmt: skip
def test_a_contradiction_is_named_with_the_way_out(
    says: dict[str, Any], line: str, example: dict[str, Any], faults: Faults
) -> None:
    found = faults(student(example, says))
    assert len(found) == 1
    assert found[0].startswith(PLACE + line), found


def test_a_stage_may_be_what_a_student_starts_from(example: dict[str, Any]) -> None:
    example["stages"] = {
        "big": {"from": "source", "finetune": {}},
        "taught": {"from": "big", "distill": {"student": {"model": "small"}}},
        "small": {"from": "source", "finetune": {}},
    }
    del example["baseline"], example["gates"]
    recipe = parse_recipe(example)
    found = inputs_of(recipe, "taught")
    assert (found.source, found.teachers, found.student) == ("big", ("big",), "small")
    assert found.artifacts == ("big", "small")
    assert stage_order(recipe) == ["big", "small", "taught"]


def test_a_checkpoint_from_outside_is_no_artifact(example: dict[str, Any]) -> None:
    recipe = parse_recipe(student(example, {"model": "org/small"}))
    found = inputs_of(recipe, "student")
    assert found.student == ModelRef(id="org/small")
    assert found.models == ("teacher", ModelRef(id="org/small"))
    assert found.artifacts == ("teacher",)
    assert inputs_of(parse_recipe(student(example, {"model": SOURCE})), "student").student == SOURCE


@pytest.mark.parametrize(
    "model, line",
    [
        ("teachr", ".model: names no stage and no local folder, got 'teachr'; did you mean `teacher`?"),
        ("onnx", ".model: takes torch, but `onnx` gives onnx; name `source` or `teacher`"),
        ("student", ".model: is made from itself: student -> student; use only what is made before it"),
    ],
)
def test_a_model_that_no_student_can_start_from_is_named(
    model: str, line: str, example: dict[str, Any], faults: Faults
) -> None:
    del example["stages"]["int8"], example["gates"]
    example["stages"]["onnx"]["from"] = "teacher"
    assert faults(student(example, {"model": model})) == [PLACE + line]
