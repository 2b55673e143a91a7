from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.recipe import SOURCE, ModelRef, StageInputs, inputs_of, parse_recipe, stage_order

Faults = Callable[[Any], list[str]]


@pytest.fixture
def with_stages(example: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def build(stages: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in example.items() if key not in ("baseline", "gates")} | {"stages": stages}

    return build


TRAIN: dict[str, Any] = {"finetune": {}}
EXPORT: dict[str, Any] = {"export": {}}
QUANTIZE: dict[str, Any] = {"quantize": {}}
QAT: dict[str, Any] = {"qat": {}}


@pytest.mark.parametrize(
    "stages, lines",
    [
        (
            {"teacher": TRAIN, "onnx": {"from": "techer", **EXPORT}},
            ["stages.onnx.from: should name a stage or `source`, got 'techer'; did you mean `teacher`?"],
        ),
        (
            {"teacher": TRAIN, "onnx": {"from": "qqq", **EXPORT}},
            ["stages.onnx.from: should name a stage or `source`, got 'qqq'; choose from `source`, `teacher`"],
        ),
        (
            {"teacher": TRAIN, "onnx": {"from": "Teacher", **EXPORT}},
            ["stages.onnx.from: should name a stage or `source`, got 'Teacher'; did you mean `teacher`?"],
        ),
        (
            {"a": {"from": "b", **TRAIN}, "b": {"from": "a", **TRAIN}},
            ["stages.a.from: is made from itself: a -> b -> a; use only what is made before it"],
        ),
        (
            {"a": {"from": "b", **TRAIN}, "b": TRAIN},
            [
                "stages.a.from: is made from itself: a -> b -> a; `b` without `from` takes the stage before it; "
                "use only what is made before it"
            ],
        ),
        (
            {"a": {"from": "a", **TRAIN}},
            ["stages.a.from: is made from itself: a -> a; use only what is made before it"],
        ),
        (
            {"a": {"from": "c", **TRAIN}, "b": {"from": "a", **TRAIN}, "c": {"from": "b", **TRAIN}},
            ["stages.a.from: is made from itself: a -> c -> b -> a; use only what is made before it"],
        ),
        (
            {"a": {"from": "b", **TRAIN}, "b": {"from": "a", **TRAIN}, "c": {"from": "c", **TRAIN}},
            [
                "stages.a.from: is made from itself: a -> b -> a; use only what is made before it",
                "stages.c.from: is made from itself: c -> c; use only what is made before it",
            ],
        ),
        (
            {"a": {"from": "source", "distill": {"teacher": "b"}}, "b": {"from": "a", **TRAIN}},
            ["stages.a.distill.teacher: is made from itself: a -> b -> a; use only what is made before it"],
        ),
        (
            {"a": {"distill": {"teacher": ["a"]}}},
            ["stages.a.distill.teacher.0: is made from itself: a -> a; use only what is made before it"],
        ),
        (
            {"source": TRAIN},
            ["stages.source: is what the recipe's `model` is called as an artifact; rename this stage"],
        ),
        (
            {"int8": QUANTIZE},
            ["stages.int8: takes onnx or openvino, but `source` gives torch; put an `export` stage between them"],
        ),
        (
            {"teacher": TRAIN, "onnx": EXPORT, "student": {"distill": {"teacher": "teacher"}}},
            ["stages.student: takes torch, but `onnx` gives onnx; let `from` name `source` or `teacher`"],
        ),
        (
            {"onnx": EXPORT, "student": {"from": "source", "distill": {"teacher": "onnx"}}},
            ["stages.student.distill.teacher: takes torch, but `onnx` gives onnx; name `source`"],
        ),
        (
            {"teacher": TRAIN, "student": {"distill": {"teacher": "teachr"}}},
            [
                "stages.student.distill.teacher: names no stage and no local folder, got 'teachr'; "
                "did you mean `teacher`?"
            ],
        ),
    ],
)
def test_a_graph_that_cannot_run_is_refused(
    stages: dict[str, Any], lines: list[str], with_stages: Callable[..., Any], faults: Faults
) -> None:
    assert faults(with_stages(stages)) == lines


def test_invalid_stages_do_not_hide_the_faults_of_others(with_stages: Callable[..., Any], faults: Faults) -> None:
    found = faults(
        with_stages(
            {
                "teacher": {"finetune": {"training": {"num_train_epoch": 3}}},
                "broken": 5,
                "both": {"from": "teacher", "export": {}, "quantize": {}},
                "int8": {"from": "teacher", "quantize": {"per_chanel": 1}},
                "last": {"from": "tacher", "export": {"opset": 1}},
            }
        )
    )
    assert [line.split(":")[0] for line in found] == [
        "stages.teacher.finetune.training.num_train_epoch",
        "stages.broken",
        "stages.both",
        "stages.int8",
        "stages.int8.quantize.per_chanel",
        "stages.last.from",
        "stages.last.export.opset",
    ]


@pytest.mark.parametrize("teacher", ["org/teachr", {"id": "teachr", "revision": "main"}, "bert-base-uncased"])
def test_a_teacher_may_come_from_the_hub(teacher: Any, with_stages: Callable[..., Any]) -> None:
    recipe = parse_recipe(with_stages({"teacher": TRAIN, "student": {"distill": {"teacher": teacher}}}))
    (found,) = inputs_of(recipe, "student").teachers
    assert isinstance(found, ModelRef)


def test_a_teacher_may_be_a_local_folder(
    with_stages: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "teachr").mkdir()
    monkeypatch.chdir(tmp_path)
    recipe = parse_recipe(with_stages({"teacher": TRAIN, "student": {"distill": {"teacher": "teachr"}}}))
    assert inputs_of(recipe, "student").teachers == (ModelRef(id="teachr"),)


def test_teachers_are_edges_of_the_graph(with_stages: Callable[..., Any]) -> None:
    recipe = parse_recipe(
        with_stages({"small": {"from": "source", "distill": {"teacher": "big"}}, "big": {"from": "source", **TRAIN}})
    )
    assert inputs_of(recipe, "small") == StageInputs(source=SOURCE, teachers=("big",))
    assert inputs_of(recipe, "small").artifacts == (SOURCE, "big")
    assert stage_order(recipe) == ["big", "small"]


def test_a_student_without_a_named_teacher_learns_from_its_source(with_stages: Callable[..., Any]) -> None:
    recipe = parse_recipe(with_stages({"teacher": TRAIN, "student": {"distill": {}}}))
    assert inputs_of(recipe, "student") == StageInputs(source="teacher", teachers=("teacher",))
    assert inputs_of(recipe, "teacher") == StageInputs(source=SOURCE)


def test_the_order_is_the_recipes_where_the_graph_allows(example: dict[str, Any]) -> None:
    assert stage_order(parse_recipe(example)) == ["teacher", "student", "onnx", "int8"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_each_stage_comes_after_what_it_is_made_from(data: st.DataObject) -> None:
    names = [f"s{number}" for number in range(data.draw(st.integers(1, 8)))]
    sources = {name: data.draw(st.sampled_from([SOURCE, *names[:place]])) for place, name in enumerate(names)}
    shuffled = data.draw(st.permutations(names))
    recipe = parse_recipe(
        {
            "name": "x",
            "task": "image-classification",
            "model": "a/b",
            "data": {"path": "x"},
            "stages": {name: {"from": sources[name], "finetune": {}} for name in shuffled},
        }
    )
    order = stage_order(recipe)
    assert sorted(order) == names
    assert all(sources[name] == SOURCE or order.index(sources[name]) < order.index(name) for name in names)


_INT8 = "takes a model in floating point, but"


@pytest.mark.parametrize(
    "stages, lines",
    [
        ({"a": QAT, "b": QAT}, [f"stages.b: {_INT8} `a` is made for INT8; name `source`"]),
        ({"a": TRAIN, "b": QAT, "c": TRAIN}, [f"stages.c: {_INT8} `b` is made for INT8; name `source` or `a`"]),
        (
            {"a": TRAIN, "b": QAT, "c": {"from": "a", "distill": {"student": {"model": "b"}}}},
            [f"stages.c.distill.student.model: {_INT8} `b` is made for INT8; name `source` or `a`"],
        ),
        (
            {"a": QAT, "onnx": EXPORT, "int8": QUANTIZE},
            [f"stages.int8: {_INT8} `onnx` is made for INT8"],
        ),
        (
            {"onnx": EXPORT, "a": QUANTIZE, "b": QUANTIZE},
            [f"stages.b: {_INT8} `a` is made for INT8; name `onnx`"],
        ),
    ],
)
def test_what_trains_or_quantizes_begins_with_floating_point(
    stages: dict[str, Any], lines: list[str], with_stages: Callable[[dict[str, Any]], dict[str, Any]], faults: Faults
) -> None:
    assert faults(with_stages(stages)) == lines


def test_a_model_that_was_trained_for_int8_may_teach(
    with_stages: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    stages = {"a": QAT, "onnx": EXPORT, "b": {"from": "source", "distill": {"teacher": "a"}}}
    recipe = parse_recipe(with_stages(stages))
    assert inputs_of(recipe, "b").teachers == ("a",)
