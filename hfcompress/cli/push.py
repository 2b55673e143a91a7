"""`hfcompress push`: publish a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hfcompress.cli.console import Session
from hfcompress.cli.options import Debug, Format, OutputFormat, config_of
from hfcompress.errors import InputError

if TYPE_CHECKING:
    from hfcompress.hub.publication import Publication
    from hfcompress.hub.push import Pushed
    from hfcompress.recipe.publish import PublishConfig

_CARD = "README.md"


def push(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    repo_id: Annotated[
        str | None,
        typer.Argument(help="namespace/name, or name in your own; default: `publish.repo_id` of the recipe."),
    ] = None,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Of a new repository; --private refuses a public one.")
    ] = None,
    create_pr: Annotated[bool | None, typer.Option("--create-pr", help="Propose it in a pull request.")] = None,
    revision: Annotated[str | None, typer.Option(help="The branch; created when it is not there.")] = None,
    artifact: Annotated[
        list[str], typer.Option("--artifact", help="What to publish, the root first; default: what passed its gates.")
    ] = [],  # noqa: B006 - typer copies it
    replace: Annotated[
        bool | None, typer.Option("--replace", help="Replace files that no earlier push has put there.")
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY.pem", help="Sign what is published, in the format of model-signing.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the files, their sizes and the card.")] = False,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Publish a run on the Hub, in one commit; again: nothing. The token is that of HF_TOKEN or of the login."""
    from hfcompress.pipeline.publish import preview, publish_run

    asked = {"repo_id": repo_id, "private": private, "create_pr": create_pr, "revision": revision}
    target = target_of_command(run, {**asked, "artifacts": tuple(artifact) or None})
    if dry_run:
        show_publication(preview(run, target), target, format_, signed=sign is not None)
        return
    with Session(format_.value) as session:
        pushed = publish_run(run, target, session.progress, sign)
    show_pushed(pushed, format_)


def target_of_command(run: Path, asked: dict[str, Any], otherwise: str | None = None) -> PublishConfig:
    """What the command line says, and the recipe where it does not.

    Args:
        run: a run folder.
        asked: fields of `PublishConfig`; None: not said.
        otherwise: the repository where neither says one; None: that is an error.
    """
    from hfcompress.pipeline.publish import target_of
    from hfcompress.recipe.publish import PublishConfig

    said = target_of(run)
    given = {name: value for name, value in asked.items() if value is not None}
    if said is None and otherwise is not None:
        given.setdefault("repo_id", otherwise)
    if said is None and "repo_id" not in given:
        raise InputError(f"the recipe of {run} does not say where it is published; give the repository: namespace/name")
    return config_of(PublishConfig, **{**({} if said is None else said.model_dump()), **given})


def show_publication(
    publication: Publication, target: PublishConfig, format_: OutputFormat, *, signed: bool = False
) -> None:
    """What would be pushed: every file with its size, and the card."""
    card = next(file for file in publication if file.path == _CARD).content
    text = card.decode() if isinstance(card, bytes) else card.read_text(encoding="utf-8")
    sizes = {file.path: file.size for file in publication}
    if format_ is OutputFormat.json:
        said = target.model_dump(mode="json")
        more = {"title": publication.title, "files": sizes, "card": text, "signed": signed}
        typer.echo(json.dumps({"event": "publication", **said, **more}))
    elif format_ is OutputFormat.human:
        width = max(len(path) for path in sizes)
        where = f"{target.repo_id} ({'a pull request' if target.create_pr else target.revision})"
        typer.echo(f"to {where}, as one commit: {publication.title}\n")
        for path, size in sizes.items():
            typer.echo(f"  {path:<{width}}  {size / 1e6:10.3f} MB")
        typer.echo(f"  {f'{len(sizes)} files':<{width}}  {sum(sizes.values()) / 1e6:10.3f} MB\n")
        typer.echo("\n".join((_EXAMPLES[target.examples], *_later(target, signed=signed))))
        typer.echo(f"\n{text}", nl=False)


def _later(target: PublishConfig, *, signed: bool) -> Iterator[str]:
    """What is known only when the Hub is asked, or made only then."""
    if "/" not in target.repo_id:
        yield "The namespace is that of the token's owner: where the card says USER, a push writes it."
    if signed:
        yield "model.sig, the signature, is made when it is pushed, and is not among these files."


_EXAMPLES = {
    False: "Texts and images of the data stay here; the report shows row ids and labels (publish.examples: false).",
    True: "The report shows texts and images of the data (publish.examples: true).",
}


def show_pushed(pushed: Pushed, format_: OutputFormat) -> None:
    """What was done."""
    if format_ is OutputFormat.json:
        typer.echo(json.dumps({"event": "pushed", **asdict(pushed)}))
    elif format_ is OutputFormat.human:
        if pushed.url is None:
            typer.echo(f"nothing to push: these {len(pushed.files)} files are there already: {pushed.commit_url}")
        else:
            gone = f", {len(pushed.deleted)} deleted" if pushed.deleted else ""
            typer.echo(f"pushed: {len(pushed.added)} of {len(pushed.files)} files are new{gone}: {pushed.url}")
