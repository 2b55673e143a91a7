"""`hfcompress card`: the README.md of a run as it would be published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfcompress.cli.options import Debug
from hfcompress.cli.push import target_of_command

#: A name without a namespace, of which a card says that it is not known yet.
_NOT_KNOWN = "model"


def card(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    repo_id: Annotated[
        str | None, typer.Option("--repo-id", help="Where it will be: namespace/name; default: `publish.repo_id`.")
    ] = None,
    artifact: Annotated[
        list[str], typer.Option("--artifact", help="What to publish, the root first; default: as `push`.")
    ] = [],  # noqa: B006 - typer copies it
    debug: Debug = False,
) -> None:
    """Print the card that `push` would send. Sends nothing, and changes nothing."""
    from hfcompress.pipeline.publish import card_of

    asked = {"repo_id": repo_id, "artifacts": tuple(artifact) or None}
    typer.echo(card_of(run, target_of_command(run, asked, _NOT_KNOWN)), nl=False)
