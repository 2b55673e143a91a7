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
    add: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="A measurement.json that a bundle wrote on its target; repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    html: Annotated[Path | None, typer.Option(help="One page about all of these runs; nothing else is drawn.")] = None,
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Show the tables and draw the plot and the page again. Measures nothing.

    `--add` puts what a bundle measured on another machine into results.json first, for good.

    Texts and images in the page are those that the run kept in its folder; the data is not read.
    """
    from hfcompress.report.write import write_page

    if len(runs) > 1 and html is None:
        raise InputError(f"{len(runs)} runs go into one page; say where with --html FILE")
    if add and (len(runs) > 1 or html is not None):
        raise InputError(
            "--add goes into the results of one run; add it there, and make the page of several after that"
        )
    folders = [run.parent if run.name == "results.json" else run for run in runs]
    if html is not None:
        read = [_read(folder) for folder in folders]
        write_page(read, html)
    else:
        read = [_drawn(folders[0], add)]
    session = Session(format_.value)
    for folder, run in zip(folders, read, strict=True):
        session.show(run.results, folder if html is None else None)
    if html is not None and session.format == "human":
        session.console.print(f"\nThe page is {html}", markup=False, soft_wrap=True)


def _drawn(folder: Path, add: list[Path]) -> Reported:
    """The report of one run, with what is added to it, drawn while nobody else changes the folder."""
    from hfcompress.pipeline.folder import RunFolder
    from hfcompress.pipeline.measurements import add_measurements
    from hfcompress.report.write import write_report
    from hfcompress.results import read_results, write_results

    read_results(folder / "results.json")  # says what to do where there is no run to lock
    with RunFolder(folder).locked():
        if add:
            path = RunFolder(folder).results
            write_results(add_measurements(read_results(path), add), path)
        run = _read(folder)
        write_report(run.results, folder, run.evidence)
    return run


def _read(folder: Path) -> Reported:
    from hfcompress.pipeline.evidence import gather_evidence
    from hfcompress.pipeline.folder import RunFolder
    from hfcompress.report.evidence import Reported
    from hfcompress.results import read_results

    results = read_results(folder / "results.json")
    return Reported(results, gather_evidence(RunFolder(folder), results))
