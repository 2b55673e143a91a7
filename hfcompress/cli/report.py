"""`hfcompress report`: the tables and the plot again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfcompress.cli.console import Session
from hfcompress.cli.options import Debug, Format, OutputFormat


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or its results.json.")],
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> None:
    """Show the tables and draw the plot again, from results.json. Measures nothing."""
    from hfcompress.report.write import write_report
    from hfcompress.results import read_results

    folder = run.parent if run.name == "results.json" else run
    results = read_results(folder / "results.json")
    write_report(results, folder)
    Session(format_.value).show(results, folder)
