"""The recipe language: closed, frozen models, the loader, and the schema for editors. Never imports torch."""

from __future__ import annotations

from hfcompress.recipe.data import BenchmarkConfig, DataConfig, EvaluateConfig, Gate, Split, StreamConfig
from hfcompress.recipe.graph import StageInputs, inputs_of, stage_order
from hfcompress.recipe.json_schema import recipe_json_schema
from hfcompress.recipe.loader import dump_recipe, load_recipe, parse_recipe
from hfcompress.recipe.recipe import SOURCE, Recipe
from hfcompress.recipe.schema import ModelRef
from hfcompress.recipe.stages import VERBS, Stage, StageConfig
from hfcompress.recipe.tasks import TASKS, Metric, TaskLanguage, TaskName
from hfcompress.recipe.template import init_recipe
from hfcompress.recipe.verb import Format

__all__ = [
    "SOURCE",
    "TASKS",
    "VERBS",
    "BenchmarkConfig",
    "DataConfig",
    "EvaluateConfig",
    "Format",
    "Gate",
    "Metric",
    "ModelRef",
    "Recipe",
    "Split",
    "Stage",
    "StageConfig",
    "StageInputs",
    "StreamConfig",
    "TaskLanguage",
    "TaskName",
    "dump_recipe",
    "init_recipe",
    "inputs_of",
    "load_recipe",
    "parse_recipe",
    "recipe_json_schema",
    "stage_order",
]
