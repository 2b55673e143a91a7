"""A recipe says what to do, and neither where tokens are nor what the environment holds."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest

from hfcompress.errors import RecipeError
from hfcompress.recipe import dump_recipe, parse_recipe
from hfcompress.training.precision import precision_decided

RECIPE: dict[str, Any] = {
    "name": "closed",
    "task": "text-classification",
    "model": {"id": "some/model"},
    "data": {"path": "some/data", "columns": {"text": "text"}, "limit": {"train": 9}, "unlabeled": {"path": "x"}},
    "evaluate": {"metrics": ["accuracy"]},
    "stages": {
        "teacher": {"finetune": {"training": {"num_train_epochs": 1.0}}},
        "student": {"distill": {"teacher": ["teacher"], "student": {"keep_layers": [0]}, "hidden": {"weight": 1.0}}},
        "onnx": {"export": {}},
        "int8": {"quantize": {"calibration": {"samples": 8}}},
    },
    "benchmark": {"stream": {"passes": 3}},
    "gates": [{"artifact": "int8", "max_size_mb": 100.0}],
}
#: What stages are called is the recipe's own choice: a name there sets nothing.
NAMES = {("stages",)}


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the recipe holds a mapping."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    if isinstance(node, dict) and path not in NAMES:
        yield path
    for key, value in items:
        yield from places(value, (*path, key))


def changed(path: tuple[Any, ...], key: str, value: Any) -> dict[str, Any]:
    recipe = copy.deepcopy(RECIPE)
    node: Any = recipe
    for part in path:
        node = node[part]
    node[key] = value
    return recipe


@pytest.mark.parametrize("path", list(places(RECIPE)), ids=lambda path: ".".join(map(str, path)) or "top")
@pytest.mark.parametrize("key", ["HF_ENDPOINT", "HF_TOKEN", "env", "environment", "hub_token", "token", "endpoint"])
def test_no_part_of_a_recipe_takes_a_variable_or_a_token(path: tuple[Any, ...], key: str) -> None:
    parse_recipe(RECIPE)
    before = dict(os.environ)
    with pytest.raises(RecipeError, match=key):
        parse_recipe(changed(path, key, {"HF_ENDPOINT": "http://elsewhere"} if key.startswith("env") else "elsewhere"))
    assert dict(os.environ) == before


def test_a_reference_to_a_variable_stays_the_text_that_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_PLACE", "/somewhere")
    recipe = parse_recipe(changed(("data",), "path", "$SECRET_PLACE/${SECRET_PLACE}"))
    assert recipe.data.path == "$SECRET_PLACE/${SECRET_PLACE}"
    assert "/somewhere" not in dump_recipe(recipe)


TOKEN = "hf_" + "b" * 34


@pytest.mark.parametrize(
    "path, key, value",
    [
        (("data",), "path", f"https://user:{TOKEN}@example.org/data.csv"),
        (("model",), "id", TOKEN),
        (("model",), "revision", TOKEN),
        (("stages", "teacher", "finetune", "training"), "run_name", f"run {TOKEN}"),
        (("data", "columns"), TOKEN, "text"),
    ],
)
def test_a_credential_in_a_recipe_is_refused_and_not_shown(path: tuple[Any, ...], key: str, value: str) -> None:
    with pytest.raises(RecipeError, match=r"holds a credential.*HF_TOKEN") as caught:
        parse_recipe(changed(path, key, value))
    assert TOKEN not in str(caught.value)


def test_what_training_arguments_tell_accelerate_ends_with_their_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    before = dict(os.environ)
    with precision_decided("bf16"):
        assert os.environ["ACCELERATE_MIXED_PRECISION"] == "bf16"
        os.environ["ACCELERATE_DYNAMO_BACKEND"] = "inductor"  # as `torch_compile_backend` makes Transformers do
    assert dict(os.environ) == before
