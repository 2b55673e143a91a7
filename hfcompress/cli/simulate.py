"""`hfcompress simulate`: an INT8 model as another CPU answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hfcompress.cli.console import Session
from hfcompress.cli.failure import GATE_FAILED
from hfcompress.cli.options import Column, Debug, Format, OutputFormat, Split, data_config


def simulate(
    model: Annotated[Path, typer.Argument(help="The folder of an INT8 model in ONNX.")],
    data: Annotated[str, typer.Option(help="Rows to answer: as `data.path`.")],
    cpu: Annotated[str, typer.Option(help="avx2, avx512, avx512_vnni or arm64.")] = "avx2",
    split: Split = None,
    column: Column = [],  # noqa: B006 - typer copies it
    rows: Annotated[int, typer.Option(min=1, help="At most so many, chosen by seed.")] = 256,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Answer rows as another CPU would, where 8-bit products may saturate. Exits with 1 when the answers differ."""
    from hfcompress.pipeline.simulate import simulate as run

    named: Any = cpu  # `SimulatedRuntime` refuses what it does not know, and says what it does
    with Session(format_.value) as session:
        found = run(
            model, named, data=data_config(data, column, split), split="test", rows=rows, progress=session.progress
        )
    if format_ is OutputFormat.json:
        typer.echo(json.dumps(found.details()))
    elif format_ is OutputFormat.human:
        typer.echo(str(found))
    if not found.safe:
        raise typer.Exit(GATE_FAILED)
