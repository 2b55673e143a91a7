"""`hfcompress verify`: whether files are what was made."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfcompress.cli import failure
from hfcompress.cli.options import Debug, Format, OutputFormat

if TYPE_CHECKING:
    from hfcompress.hub.verify import Verification


def verify(
    target: Annotated[str, typer.Argument(help="An artifact's folder, a run folder, or a published repository.")],
    revision: Annotated[str | None, typer.Option(help="The commit, branch or tag of a repository on the Hub.")] = None,
    public_key: Annotated[Path | None, typer.Option(metavar="PUB.pem", help="Ask for a signature of this key.")] = None,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> int:
    """Compare every file with its manifest, and say what is missing of where it comes from. Runs nothing of it.

    Exit code 1 when a file is not as it was made, the signature does not hold, or the origin is not accounted for.
    """
    from hfcompress.hub.verify import downloaded
    from hfcompress.hub.verify import verify as verify_folder

    local = Path(target).expanduser()
    with nullcontext(local) if local.exists() else downloaded(target, revision) as folder:
        found = verify_folder(folder, public_key)
    if format_ is OutputFormat.json:
        typer.echo(json.dumps({"passed": found.passed, **asdict(found)}))
    elif format_ is OutputFormat.human:
        _show(target, found)
    return 0 if found.passed else failure.GATE_FAILED


def _show(target: str, found: Verification) -> None:
    names = ", ".join(found.artifacts)
    typer.echo(f"{target}: {found.kind} with {len(found.artifacts)} artifacts ({names}), {found.files} files compared")
    for fault in found.faults:
        typer.echo(f"  fault: {fault}")
    for what in found.missing:
        typer.echo(f"  nothing says {what}")
    for name in found.notes:
        typer.echo(f"  note: {name} is somebody else's, and no manifest names it")
    if found.signed:
        typer.echo("  the signature holds")
    typer.echo("whole, and its origin is accounted for" if found.passed else "not verified")
