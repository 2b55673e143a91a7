"""`hfcompress validate`: is this recipe sound?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfcompress.cli.options import Debug, Format, OutputFormat, Set


def validate(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    overrides: Set = [],  # noqa: B006 - typer copies it
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Check a recipe, and name every wrong field. Reads no model and no data."""
    from hfcompress.recipe.loader import load_recipe

    loaded = load_recipe(recipe, overrides)
    if format_ is OutputFormat.json:
        typer.echo(loaded.model_dump_json(by_alias=True, exclude_none=True))
    elif format_ is OutputFormat.human:
        stages = " -> ".join(f"{name} ({stage.verb})" for name, stage in loaded.stages.items())
        typer.echo(f"{recipe} is valid: {stages}")
