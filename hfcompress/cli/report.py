"""`hfcompress report`: the tables, the plot and the page again; or one page about several runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfcompress.cli.console import Session
from hfcompress.cli.options import Debug, Format, OutputFormat
from hfcompress.errors import InputError

if TYPE_CHECKING:
    from hfcompress.report.evidence import Reported


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or their results.json.")],
    html: Annotated[Path | None, typer.Option(help="One page about all of these runs; nothing else is drawn.")] = None,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Show the tables and draw the plot and the page again. Measures nothing.

    Texts and images in the page are those that the run kept in its folder; the data is not read.
    """
    from hfcompress.report.write import write_page, write_report

    if len(runs) > 1 and html is None:
        raise InputError(f"{len(runs)} runs go into one page; say where with --html FILE")
    folders = [run.parent if run.name == "results.json" else run for run in runs]
    read = [_read(folder) for folder in folders]
    if html is not None:
        write_page(read, html)
    else:
        write_report(read[0].results, folders[0], read[0].evidence)
    session = Session(format_.value)
    for folder, run in zip(folders, read, strict=True):
        session.show(run.results, folder if html is None else None)
    if html is not None and session.format == "human":
        session.console.print(f"\nThe page is {html}", markup=False, soft_wrap=True)


def _read(folder: Path) -> Reported:
    from hfcompress.pipeline.evidence import gather_evidence
    from hfcompress.pipeline.folder import RunFolder
    from hfcompress.report.evidence import Reported
    from hfcompress.results import read_results

    results = read_results(folder / "results.json")
    return Reported(results, gather_evidence(RunFolder(folder), results))
