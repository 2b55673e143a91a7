from __future__ import annotations

from typing import Any

import pytest

from hfcompress.errors import RecipeError
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.training_stages import DistillConfig


def _temperature(recipe: Any) -> float:
    config = recipe.stages["student"].config
    assert isinstance(config, DistillConfig)
    return config.temperature


def test_an_override_changes_one_field(example: dict[str, Any]) -> None:
    assert _temperature(parse_recipe(example, overrides=["stages.student.distill.temperature=4"])) == 4


def test_the_last_override_wins(example: dict[str, Any]) -> None:
    path = "stages.student.distill.temperature"
    assert _temperature(parse_recipe(example, overrides=[f"{path}=4", f"{path}=8"])) == 8


def test_values_are_yaml(example: dict[str, Any]) -> None:
    recipe = parse_recipe(
        example,
        overrides=[
            "stages.teacher.finetune.training.learning_rate=1e-5",
            "stages.teacher.finetune.training.save_strategy=no",
            "benchmark.batch=[1, 8]",
            "baseline=",
            "data.path=a=b",
        ],
    )
    config: Any = recipe.stages["teacher"].config
    assert config.training["learning_rate"] == 1e-5
    assert config.training["save_strategy"] == "no"
    assert recipe.benchmark.batch == (1, 8)
    assert recipe.baseline is None
    assert recipe.data.path == "a=b"


def test_list_items_go_by_index(example: dict[str, Any]) -> None:
    assert parse_recipe(example, overrides=["gates.0.min_speedup=5"]).gates[0].min_speedup == 5


def test_mappings_are_created_on_the_way(example: dict[str, Any]) -> None:
    del example["evaluate"]
    example["stages"]["onnx"] = {"export": None}
    recipe = parse_recipe(example, overrides=["evaluate.gates_on=test", "stages.onnx.export.opset=17"])
    assert recipe.evaluate.gates_on == "test"
    assert recipe.stages["onnx"].config.model_dump()["opset"] == 17


def test_a_whole_stage_may_be_added(example: dict[str, Any]) -> None:
    assert (
        "flat" in parse_recipe(example, overrides=["stages.flat={from: onnx, quantize: {per_channel: false}}"]).stages
    )


def test_an_alias_changes_in_one_place_only(example_text: str) -> None:
    text = example_text.replace("{num_train_epochs: 2, learning_rate: 1e-4}", "&t {num_train_epochs: 2}")
    text = text.replace("{num_train_epochs: 3, learning_rate: 2e-4}", "*t")
    recipe = parse_recipe(text, overrides=["stages.teacher.finetune.training.num_train_epochs=9"])
    student: Any = recipe.stages["student"].config
    assert student.training == {"num_train_epochs": 2}


def test_an_override_is_checked_like_the_recipe(example: dict[str, Any]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(example, "x.yaml", ["stages.student.distill.temprature=4", "seed=-1"])
    assert str(caught.value).split("\n  ") == [
        "x.yaml with --set stages.student.distill.temprature, seed is not a valid recipe:",
        "seed: should be at least 0, got -1",
        "stages.student.distill.temprature: unknown key; did you mean `temperature`?",
    ]


@pytest.mark.parametrize(
    "override, message",
    [
        ("seed", "--set takes path.to.field=value, got 'seed'"),
        ("=3", "--set takes path.to.field=value, got '=3'"),
        ("a..b=3", "--set takes path.to.field=value, got 'a..b=3'"),
        ("seed=[", "--set seed: the value is not valid YAML: line 1, column 2: expected"),
        ("seed.x=1", "--set seed.x: seed is 0 and holds no fields; set seed as a whole"),
        ("gates.1.min_speedup=1", "--set gates.1.min_speedup: gates is a list of 1, and `1` is none of its places"),
        ("gates.first=1", "gates is a list of 1, and `first` is none of its places"),
        ("stages.studnt.distill.temperature=4", "there is no stage `studnt`; did you mean `student`?"),
    ],
)
def test_an_override_that_cannot_be_applied_is_refused(override: str, message: str, example: dict[str, Any]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(example, "x.yaml", [override])
    assert message in str(caught.value)


def test_all_bad_overrides_are_named_at_once(example: dict[str, Any]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(example, "x.yaml", ["seed", "seed.x=1"])
    assert len(str(caught.value).split("\n  ")) == 3
