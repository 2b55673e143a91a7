"""What the page says in words and tables; its charts are `html_charts`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hfcompress.report.detail import host_lines, hosts_table, latency_grid, metrics_table, seconds_table
from hfcompress.report.evidence import Reported
from hfcompress.report.fallback import fallback_tables
from hfcompress.report.figures import metric_figure, number, signed_metric, times, unit_of
from hfcompress.report.flips import compared, flips_table
from hfcompress.report.gates import gates_table, summary
from hfcompress.report.grid import Cell, Table
from hfcompress.report.html_scope import Scope, ScopedTable, host_names, own_host, recipe_names, row_scopes, stacked
from hfcompress.report.table import headline_table, was_timed
from hfcompress.results import ArtifactResult, GateResult, Results

#: Kinds of gates whose value must not be below the bound.
_AT_LEAST = ("min_speedup", "not_slower")


@dataclass(frozen=True)
class Tile:
    """One large figure.

    Attributes:
        name: what it is.
        value: the figure.
        detail: its interval, or what it is compared with.
    """

    name: str
    value: str
    detail: str


@dataclass(frozen=True)
class Finding:
    """The artifact that a reader looks for first: the fastest one that may be published.

    Attributes:
        artifact: its name.
        why: what makes it that one.
        tiles: its figures.
    """

    artifact: str
    why: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class GateRow:
    """A gate: its cells, and how much of its bound is used, 1 where the value is the bound."""

    cells: tuple[Cell, ...]
    used: float
    passed: bool


@dataclass(frozen=True)
class RunSection:
    """What is said of each run by itself."""

    scope: Scope
    results: Results
    summary: str
    finding: Finding | None
    gates: tuple[GateRow, ...]
    tables: tuple[Table, ...]
    hosts: tuple[str, ...]
    recipe: str


@dataclass(frozen=True)
class Page:
    """The page.

    Attributes:
        title: of the page.
        about: one line below it.
        runs: each run by itself.
        artifacts, flips, latencies: tables over all runs; None where there is nothing to say.
        recipes, hosts: what the page can be filtered by; fewer than two of one: no filter.
        has: the charts that there is data for.
        classes: what flips can be filtered by.
        shows_examples: whether flips come with the rows that they are about.
    """

    title: str
    about: str
    runs: tuple[RunSection, ...]
    artifacts: ScopedTable
    flips: ScopedTable | None
    latencies: ScopedTable | None
    recipes: tuple[str, ...]
    hosts: tuple[str, ...]
    has: frozenset[str]
    classes: tuple[str, ...]
    shows_examples: bool


def page_of(runs: Sequence[Reported]) -> Page:
    """What the template shows of these runs."""
    names = recipe_names(runs)
    scopes = [Scope(name, own_host(run.results)) for name, run in zip(names, runs, strict=True)]
    each = list(zip(runs, scopes, strict=True))
    flipped = [(run, scope) for run, scope in each if any(compared(run.results))]
    timed = [(run, scope) for run, scope in each if latency_grid(run.results).rows]
    return Page(
        title=names[0] if len(runs) == 1 else f"{len(runs)} runs compared",
        about=_about([run.results for run in runs]),
        runs=tuple(_section(run, scope) for run, scope in each),
        artifacts=stacked([(headline_table(run.results), scope) for run, scope in each], _row_scopes(each)),
        flips=stacked([(flips_table(run.results), scope) for run, scope in flipped]) if flipped else None,
        latencies=stacked([(latency_grid(run.results), scope) for run, scope in timed], _row_scopes(timed))
        if timed
        else None,
        recipes=tuple(names),
        hosts=tuple(dict.fromkeys(name for run in runs for name in host_names(run.results).values())),
        has=frozenset(_charts(runs)),
        classes=tuple(_classes(runs)),
        shows_examples=any(run.evidence.examples and run.evidence.examples.rows for run in runs),
    )


def _row_scopes(each: Sequence[tuple[Reported, Scope]]) -> list[dict[str, Scope]]:
    return [row_scopes(run.results, scope) for run, scope in each]


def _charts(runs: Sequence[Reported]) -> Iterator[str]:
    if any(run.results.metric in artifact.metrics for run in runs for artifact in run.results.artifacts):
        yield "tradeoff"
    for name in ("trainings", "samples"):
        if any(getattr(run.evidence, name) for run in runs):
            yield name
    if any(run.evidence.examples and run.evidence.examples.flips for run in runs):
        yield "flips"


def _classes(runs: Sequence[Reported]) -> dict[str, None]:
    """The classes that single flips are about, in the order of the results."""
    listed = {
        flip.about
        for run in runs
        if run.evidence.examples
        for flips in run.evidence.examples.flips.values()
        for flip in flips
    }
    known = (found.label for run in runs for artifact in run.results.artifacts for found in artifact.classes)
    return dict.fromkeys(label for label in known if label in listed)


def _about(runs: Sequence[Results]) -> str:
    metric = runs[0].metric
    known = [found.metrics[metric] for run in runs for found in run.artifacts if metric in found.metrics]
    splits = sorted({interval.split for interval in known})
    read_on = f" on {' and '.join(splits)}" if splits else ""
    count = sum(len(run.artifacts) for run in runs)
    baselines = " and ".join(dict.fromkeys(run.baseline for run in runs))
    return f"{runs[0].task}, {metric}{read_on}; {count} artifacts, measured against {baselines}"


def _section(run: Reported, scope: Scope) -> RunSection:
    results = run.results
    tables = (*fallback_tables(results), metrics_table(results), hosts_table(results), seconds_table(results))
    return RunSection(
        scope=scope,
        results=results,
        summary=summary(results),
        finding=_finding(results),
        gates=tuple(_gates(results)),
        tables=tuple(table for table in tables if table.rows),
        hosts=tuple(host_lines(results)),
        recipe=run.evidence.recipe,
    )


def _finding(results: Results) -> Finding | None:
    found = [
        artifact
        for artifact in results.artifacts
        if artifact.publishable and artifact.name != results.baseline and was_timed(artifact) and artifact.speedup
    ]
    if not found:
        return None
    fastest = max(found, key=lambda artifact: artifact.speedup or 0.0)
    judged = any(gate.artifact == fastest.name for gate in results.gates)
    why = "the fastest artifact that passes its gates" if judged else "the fastest artifact that no gate speaks against"
    return Finding(fastest.name, why, tuple(_tiles(results, fastest)))


def _tiles(results: Results, artifact: ArtifactResult) -> Iterator[Tile]:
    low, high = artifact.speedup_low, artifact.speedup_high
    interval = f"[{number(low)}, {number(high)}] " if low is not None and high is not None else ""
    yield Tile("speed-up", times(artifact.speedup or 0.0), f"{interval}over {results.baseline}")
    metric, baseline = results.metric, next((a for a in results.artifacts if a.name == results.baseline), None)
    if metric in artifact.metrics:
        difference = artifact.difference.get(metric)
        value = metric_figure(metric, artifact.metrics[metric].value)
        if difference is None:
            yield Tile(f"{metric}{unit_of(metric)}", value, f"on {artifact.metrics[metric].split}")
        else:
            bounds = ", ".join(signed_metric(metric, bound) for bound in (difference.low, difference.high))
            detail = f"[{bounds}]{unit_of(metric).removeprefix(' in')} to {difference.against}"
            yield Tile(f"{metric} difference", signed_metric(metric, difference.value), detail)
    if baseline is not None and baseline.size_mb > 0:
        detail = f"{number(artifact.size_mb)} MB of {number(baseline.size_mb)} MB"
        yield Tile("size", times(artifact.size_mb / baseline.size_mb), detail)
    yield Tile(
        "throughput", f"{number(artifact.throughput_per_s)}", f"rows a second; {results.baseline} {_rows(baseline)}"
    )


def _rows(artifact: ArtifactResult | None) -> str:
    return number(artifact.throughput_per_s) if artifact is not None else "unknown"


def _gates(results: Results) -> Iterator[GateRow]:
    for gate, cells in zip(results.gates, gates_table(results).rows, strict=True):
        yield GateRow(cells, _used(gate), gate.passed)


def _used(gate: GateResult) -> float:
    """The share of a bound that is used up: 0.5 is half of what may be lost, or twice the speed that is asked for."""
    top, bottom = (gate.bound, gate.value) if gate.kind in _AT_LEAST else (gate.value, gate.bound)
    return max(0.0, top / bottom) if bottom > 0 else float(not gate.passed) * 2
