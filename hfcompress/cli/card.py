"""`hfcompress card`: the README.md of a run as it would be published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfcompress.cli.options import Debug


def card(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    repo_id: Annotated[str | None, typer.Option("--repo-id", help="Where it will be: namespace/name.")] = None,
    artifact: Annotated[
        list[str], typer.Option("--artifact", help="What to publish, the preferred one first; default: what serves.")
    ] = [],  # noqa: B006 - typer copies it
    debug: Debug = False,
) -> None:
    """Print the card of a run. Sends nothing, and changes nothing."""
    from hfcompress.hub.choice import default_choice
    from hfcompress.hub.layout import README, RunFacts, layout

    facts = RunFacts.read(run)
    publication = layout(facts, artifact or default_choice(facts.results), repo_id)
    content = next(file.content for file in publication if file.path == README)
    typer.echo(content if isinstance(content, Path) else content.decode("utf-8"), nl=False)
