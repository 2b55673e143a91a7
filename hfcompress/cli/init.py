"""`hfcompress init`: a recipe to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfcompress.cli.options import Debug
from hfcompress.errors import InputError


def init(
    task: Annotated[str, typer.Option(help="What the model does, such as text-classification; a wrong one lists all.")],
    model: Annotated[str, typer.Option(help="A local folder or a Hub id.")],
    name: Annotated[str | None, typer.Option(help="The recipe's name; default: from the model's.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it there; default: stdout.")] = None,
    debug: Debug = False,
) -> None:
    """Write a commented recipe to start from."""
    from hfcompress.recipe.template import init_recipe

    text = init_recipe(task, model, name)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise InputError(f"{output} exists; choose another --output, or remove it first") from error
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror}); choose another --output") from error
    typer.echo(f"wrote {output}; edit `data`, then: hfcompress validate {output}")
