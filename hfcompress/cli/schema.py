"""`hfcompress schema`: the JSON Schema of recipes."""

from __future__ import annotations

import json

import typer

from hfcompress.cli.options import Debug


def schema(debug: Debug = False) -> None:
    """Print the JSON Schema of recipes, so that editors complete and check them."""
    from hfcompress.recipe.json_schema import recipe_json_schema

    typer.echo(json.dumps(recipe_json_schema(), indent=2))
