from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from hfcompress.recipe import recipe_json_schema
from hfcompress.recipe.stages import VERB_CONFIGS, VERBS
from hfcompress.recipe.training import training_fields


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return recipe_json_schema()


def test_the_schema_is_json_and_says_what_it_is(schema: dict[str, Any]) -> None:
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "hfcompress recipe"
    assert schema["required"] == ["name", "task", "model", "data", "stages"]


def test_every_block_is_closed_and_described(schema: dict[str, Any]) -> None:
    assert schema["additionalProperties"] is False
    for name, part in schema["$defs"].items():
        assert part["additionalProperties"] is False, name
        assert name == "Training" or part["description"], name


def test_every_field_of_the_recipe_and_of_a_stage_is_described(schema: dict[str, Any]) -> None:
    for config in ("DataConfig", "BenchmarkConfig", "Gate", *(config.__name__ for config in VERB_CONFIGS.values())):
        for name, field in schema["$defs"][config]["properties"].items():
            assert "description" in field, (config, name)
    assert all("description" in field for field in schema["properties"].values())


def test_a_stage_holds_from_and_one_verb(schema: dict[str, Any]) -> None:
    stage = schema["$defs"]["Stage"]
    assert list(stage["properties"]) == ["from", *VERBS]
    assert stage["oneOf"] == [{"required": [verb]} for verb in VERBS]


def test_training_fields_are_completed(schema: dict[str, Any]) -> None:
    assert set(schema["$defs"]["Training"]["properties"]) == set(training_fields())


def test_the_schema_takes_the_designs_example_and_refuses_a_misspelt_key(
    schema: dict[str, Any], example: dict[str, Any]
) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(example)
    example["stages"]["student"]["distill"]["teacher"] = "teacher"
    assert validator.is_valid(example)
    example["stages"]["student"]["distill"]["temprature"] = 2
    assert not validator.is_valid(example)
