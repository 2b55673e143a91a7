"""Tables and the whole report as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hfcompress.report.detail import host_lines, hosts_table, latency_grid, metrics_table, seconds_table
from hfcompress.report.escape import escaped
from hfcompress.report.fallback import fallbacks, ranking_table, steps_table
from hfcompress.report.gates import gates_table, summary
from hfcompress.report.grid import Table
from hfcompress.report.table import headline_table
from hfcompress.results import ArtifactResult, FallbackResult, Results


def markdown_table(table: Table) -> str:
    """The columns and rows, without title and notes."""
    titles = [escaped(str(column)) for column in table.columns]
    rules = ["---:" if column.numeric else "---" for column in table.columns]
    rows = [[escaped(str(cell)) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [titles, rules, *rows])


def markdown_report(results: Results, plot: str | None, fallback_plots: Mapping[str, str] | None = None) -> str:
    """The whole report.

    Args:
        results: what was measured.
        plot: the Pareto plot's file name beside the report; None: no plot.
        fallback_plots: artifact -> the file name of the plot of its fallback, where there is one.
    """
    headline = headline_table(results)
    sections = [f"# {escaped(headline.title)}", f"**{summary(results)}.**", *_with_notes(headline)]
    if plot is not None:
        sections.append(f"![{escaped(results.metric)} against throughput]({plot})")
    if results.gates:
        sections += ["## Gates", *_with_notes(gates_table(results))]
    for artifact, fallback in fallbacks(results):
        sections += _fallback(artifact, fallback, (fallback_plots or {}).get(artifact.name))
    for table in (latency_grid(results), metrics_table(results), hosts_table(results), seconds_table(results)):
        if table.rows:
            sections += [f"## {table.title}", *_with_notes(table)]
    sections += ["## Host", *(escaped(line) for line in host_lines(results)), *_reproduce(results)]
    return "\n\n".join(sections) + "\n"


def _fallback(artifact: ArtifactResult, fallback: FallbackResult, plot: str | None) -> Iterator[str]:
    steps = steps_table(artifact, fallback)
    yield from (f"## {escaped(steps.title)}", *_with_notes(steps))
    if fallback.ranking:
        yield from _with_notes(ranking_table(artifact, fallback))
    if plot is not None:
        yield f"![layers by cost, and drop and speed by step]({plot})"


def _with_notes(table: Table) -> list[str]:
    notes = "\n".join(f"- {escaped(note)}" for note in table.notes)
    return [part for part in (markdown_table(table), escaped(table.caption), notes) if part]


def _reproduce(results: Results) -> list[str]:
    if all(artifact.path is None for artifact in results.artifacts):
        return []  # models that were measured without a recipe
    return [
        "## How to reproduce",
        "`recipe.yaml` beside this file is the recipe as it was run, overrides included. Where the run was started:",
        "```sh\nhfcompress run THIS_FOLDER/recipe.yaml --out ANOTHER_FOLDER   # everything again\n"
        "hfcompress report THIS_FOLDER                                 # this report again, from results.json\n```",
        "Every figure here is in `results.json`; the outputs for every row are in `predictions/`.",
    ]
