"""`hfcompress explain`: why an INT8 model is as fast as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfcompress.cli.console import Session, stdout_console
from hfcompress.cli.options import Column, Debug, Format, OutputFormat, Split, config_of, data_config

if TYPE_CHECKING:
    from hfcompress.profiling.explanation import Explanation


def explain(
    model: Annotated[Path, typer.Argument(help="The folder of the INT8 model.")],
    against: Annotated[Path, typer.Option(help="The folder of the fp32 export that it was made from.")],
    data: Annotated[str | None, typer.Option(help="Rows to run on: as `data.path`; default: a made-up batch.")] = None,
    split: Split = None,
    column: Column = [],  # noqa: B006 - typer copies it
    batch: Annotated[int, typer.Option(help="Rows of a batch.")] = 8,
    sequence: Annotated[int, typer.Option(help="Tokens of the made-up batch.")] = 64,
    passes: Annotated[int, typer.Option(help="Passes of each model, in turns.")] = 20,
    threads: Annotated[int | None, typer.Option(help="Cores of a call; default: all.")] = None,
    layers: Annotated[int, typer.Option(help="Layers to show; JSON has all of them.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Time an INT8 model beside its fp32 source, by operator and layer: what stayed in floating point, why, and what to
    change."""
    from hfcompress.profiling.api import explain as explain_model
    from hfcompress.profiling.workload import Workload

    workload = config_of(Workload, batch=batch, sequence=sequence, passes=passes, threads=threads)
    session = Session("json" if json else format_.value)
    with session:
        rows = None if data is None else data_config(data, column, split)
        found = explain_model(model, against, data=rows, workload=workload, progress=session.progress)
    _show(session, found, layers)


def _show(session: Session, found: Explanation, layers: int) -> None:
    if session.format == "json":
        session.emit("explanation", explanation=found.model_dump(mode="json", by_alias=True))
        return
    if session.format == "quiet":
        return
    from hfcompress.profiling.tables import finding_lines, headline, layers_table, operators_table
    from hfcompress.report.terminal import print_table

    console = stdout_console()
    console.print(headline(found), style="bold red" if found.slower else "bold", markup=False)
    for line in ("", *finding_lines(found), ""):
        console.print(line, markup=False, soft_wrap=True)
    for table in (operators_table(found), layers_table(found, layers)):
        print_table(table, console)
