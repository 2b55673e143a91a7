from __future__ import annotations

from typing import get_args

import pytest

from hfcompress.errors import RecipeError
from hfcompress.recipe import TASKS, TaskName, init_recipe, parse_recipe
from hfcompress.recipe.stages import VERBS


@pytest.mark.parametrize("task", get_args(TaskName))
def test_a_start_of_a_recipe_is_valid_and_shows_every_verb(task: TaskName) -> None:
    text = init_recipe(task, "org/Some_Model.v2")
    recipe = parse_recipe(text)
    assert recipe.name == "some-model-v2"
    assert recipe.model.id == "org/Some_Model.v2"
    assert recipe.task == task
    shown = tuple(dict.fromkeys(stage.verb for stage in recipe.stages.values()))
    assert (*shown, "engine") == VERBS
    assert "#   engine: {precision: fp16}" in text, "in a comment: it needs a GPU"
    quantized = [stage.quantize for stage in recipe.stages.values() if stage.quantize]
    assert {config.calibration is None for config in quantized} == {True, False}, "dynamic and static"
    assert recipe.gates
    assert set(recipe.data.columns) == {*TASKS[task].required, *TASKS[task].evaluated}
    assert all(len(line) <= 125 for line in text.splitlines())


@pytest.mark.parametrize("model", ["a: b #c", "./my model", "é", "null", "1e5", 'say "hi"', "-", "a\\b", "@x"])
def test_any_model_path_is_quoted_as_it_needs(model: str) -> None:
    assert parse_recipe(init_recipe("text-classification", model, name="no")).model.id == model
    assert parse_recipe(init_recipe("text-classification", model, name="no")).name == "no"


def test_a_wrong_task_name_or_model_is_refused() -> None:
    with pytest.raises(RecipeError, match="got 'text-clasification'; did you mean `text-classification`"):
        init_recipe("text-clasification", "a/b")
    with pytest.raises(RecipeError, match="name: should be lower-case words joined by '-', got 'Bad Name'"):
        init_recipe("text-classification", "a/b", name="Bad Name")
    with pytest.raises(RecipeError, match=r"model\.id: should not be empty"):
        init_recipe("text-classification", "", name="x")
