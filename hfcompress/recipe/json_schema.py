"""The JSON Schema of recipes, from which editors complete and check them."""

from __future__ import annotations

import inspect
import re
from typing import Any

from hfcompress.recipe.recipe import Recipe
from hfcompress.recipe.schema import Schema
from hfcompress.recipe.stages import VERBS


def recipe_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a recipe for the installed Transformers, with descriptions from the docstrings.

    It says less than `load_recipe` checks: names of stages and artifacts are free text in it.
    """
    schema = Recipe.model_json_schema(by_alias=True)
    models = {model.__name__: model for model in _models(Schema)}
    for name, part in [("Recipe", schema), *schema["$defs"].items()]:
        if name in models:
            _describe_(part, models[name])
    schema["$defs"]["Stage"]["oneOf"] = [{"required": [verb]} for verb in VERBS]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "hfcompress recipe",
    }


def _models(base: type[Schema]) -> list[type[Schema]]:
    below = [model for child in base.__subclasses__() for model in _models(child)]
    return [base, *below]


def _describe_(part: dict[str, Any], model: type[Schema]) -> None:
    part["description"], _ = _read_docstring(inspect.getdoc(model) or "")
    described: dict[str, str] = {}
    for kind in reversed(model.__mro__):  # a field may be described where it is inherited from
        described |= _read_docstring(inspect.getdoc(kind) or "")[1]
    for name, text in described.items():
        if name in part["properties"]:
            part["properties"][name]["description"] = text


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The text before `Attributes:`, and the description of each attribute in it."""
    summary, _, section = text.partition("\nAttributes:\n")
    entries = re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    described = {name.strip(): " ".join(words.split()) for names, words in entries for name in names.split(",")}
    return " ".join(summary.split()), described
