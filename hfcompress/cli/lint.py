"""`hfcompress lint`: what a target's parser would reject in an ONNX graph, and what would make it slow."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfcompress.cli.console import Session, stdout_console
from hfcompress.cli.failure import GATE_FAILED
from hfcompress.cli.options import Debug, Format, OutputFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hfcompress.onnx_graph.lint import Finding

#: Places of a rule that are shown; JSON has all of them.
_MOST_PLACES = 5


def lint(
    model: Annotated[Path, typer.Argument(help="An .onnx file, or a folder with one.")],
    target: Annotated[str, typer.Option(help="What will read it: tensorrt.")] = "tensorrt",
    profile: Annotated[
        list[str],
        typer.Option(metavar="INPUT=MIN:OPT:MAX", help="Sizes of the engine: input_ids=1x8:16x64:32x128"),
    ] = [],  # noqa: B006 - typer copies it
    fix: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write the graph with what can be mended mechanically to OUT.")
    ] = None,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Find what a target rejects (error) or runs slowly (advice). Exits with 1 when errors are left."""
    from hfcompress.onnx_graph.lint import parse_profiles
    from hfcompress.onnx_graph.lint.files import fix_onnx, lint_onnx

    with Session(format_.value) as session:
        profiles = parse_profiles(profile) if profile else None
        mended = None if fix is None else fix_onnx(model, fix, target)
        found = lint_onnx(model if fix is None else fix, target, profiles)
    if session.format == "human":
        console = stdout_console()
        for line in _lines(found, target, mended):
            console.print(line, markup=False, soft_wrap=True)
    session.emit("lint", target=target, mended=mended, findings=[each.model_dump() for each in found])
    if any(each.severity == "error" for each in found):
        raise typer.Exit(GATE_FAILED)


def _lines(found: Sequence[Finding], target: str, mended: int | None) -> Iterator[str]:
    if mended is not None:
        yield f"mended: {mended}"
    for _, group in groupby(found, key=lambda each: each.rule):
        places = list(group)
        first = places[0]
        yield f"{first.severity}: {first.rule}"
        yield from (f"  {each.node}: {each.what}" for each in places[:_MOST_PLACES])
        if len(places) > _MOST_PLACES:
            yield f"  and {len(places) - _MOST_PLACES} more (--format json has all)"
        fixable = " (--fix does it)" if any(each.fixable for each in places) else ""
        yield f"  cure: {first.cure}{fixable}"
        yield f"  source: {first.source}"
    errors = sum(each.severity == "error" for each in found)
    yield f"{target}: errors {errors}, advice {len(found) - errors}"
