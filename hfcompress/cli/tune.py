"""`hfcompress tune`: what runs an artifact best on this host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfcompress.cli.console import Session, stdout_console
from hfcompress.cli.options import Column, Debug, Format, OutputFormat, Split, config_of, data_config
from hfcompress.errors import InputError

if TYPE_CHECKING:
    from hfcompress.pipeline.tune import Tuned


def tune(
    artifact: Annotated[Path, typer.Argument(help="runs/<recipe>/artifacts/<stage>, or a model folder with --data.")],
    data: Annotated[
        str | None, typer.Option(help="Rows to run on: as `data.path`; default: those of the run's recipe.")
    ] = None,
    split: Split = None,
    column: Column = [],  # noqa: B006 - typer copies it
    threads: Annotated[int | None, typer.Option(help="Cores of all calls together; default: all.")] = None,
    rows: Annotated[
        int | None, typer.Option(help="Rows to run on; default: 512, 128 images, or what the budget allows.")
    ] = None,
    budget: Annotated[float, typer.Option(metavar="SECONDS", help="When the search ends.")] = 120,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Measure every combination equally often, however long it takes.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="The file to write; default: serving/ in the run, or beside the artifact.")
    ] = None,
    tried: Annotated[int, typer.Option(help="Combinations to show; JSON has all of them.")] = 6,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Find the runtime, threads, streams and batches that are best on this host, for `load` and `load_pipeline`."""
    from hfcompress.pipeline.tune import tune_artifact
    from hfcompress.tune.options import TuneOptions

    if data is None and (split is not None or column):
        raise InputError("--split and --column are about --data; give it, or leave them out")
    options = config_of(TuneOptions, threads=threads, rows=rows, budget_s=budget, exhaustive=exhaustive)
    with Session(format_.value) as session:
        config = None if data is None else data_config(data, column, split)
        found = tune_artifact(artifact, data=config, options=options, out=out, progress=session.progress)
    _show(session, found, tried)


def _show(session: Session, found: Tuned, most: int) -> None:
    session.emit("serving", path=str(found.path), serving=found.serving.model_dump(mode="json", by_alias=True))
    if session.format != "human":
        return
    from hfcompress.report.terminal import print_table
    from hfcompress.tune.tables import chosen_table, tried_table

    console = stdout_console()
    for table in (chosen_table(found.serving), tried_table(found.serving, most)):
        print_table(table, console)
    session.console.print(f"Written to {found.path}", markup=False, soft_wrap=True)
