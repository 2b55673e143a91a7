"""The headline: one row an artifact, with everything that decides whether it may be served."""

from __future__ import annotations

from collections.abc import Iterator

from hfcompress.report.doubt import MARK, SPEEDUP, THROUGHPUT, cell_name, latency_name, mark, remarks_on
from hfcompress.report.entries import Entry, entries
from hfcompress.report.figures import NOTHING, metric_figure, number, signed_metric, times, unit_of
from hfcompress.report.gates import failures, verdict_of
from hfcompress.report.grid import Cell, Column, Table, numbers, unique, words
from hfcompress.results import ArtifactResult, Difference, Interval, Latency, Results, Speed


def headline_table(results: Results) -> Table:
    """Every artifact: what it is, the main metric, size, speed, memory and the verdict of its gates.

    Below it, what its bundles measured on other machines.
    """
    cell = headline_cell(results)
    return Table(
        title=_title(results),
        columns=(
            *words("model", "made by"),
            *numbers(results.metric, "difference", "size MB", "p50 ms"),
            Column("p99 ms", tied=True),
            *numbers("rows/s", "speed-up", "memory MB"),
            *words("gates"),
        ),
        rows=tuple(_row(results, entry, cell) for entry in entries(results)),
        caption=_caption(results, cell),
        notes=unique([*_doubts(results, cell), *failures(results)]),
    )


def headline_cell(results: Results) -> tuple[int, int | None] | None:
    """The cell of the latency grid that the headline shows: the smallest batch at the longest sequence.

    One request at a time, at its worst length; None when nothing was timed.
    """
    grid = {(cell.batch, cell.sequence) for artifact in results.artifacts for cell in artifact.latency}
    return min(grid, key=lambda shape: (shape[0], -(shape[1] or 0)), default=None)


def was_timed(speed: Speed) -> bool:
    """Whether there are figures of speed at all."""
    return speed.throughput_per_s > 0


def runtime_name(speed: Speed, otherwise: str) -> str:
    """The runtime as people call it: a CPU provider goes without saying."""
    runtime, _, provider = speed.runtime.partition(":")
    provider = provider.removesuffix("ExecutionProvider")
    return (runtime if provider in ("", "CPU") else f"{runtime} {provider}") or otherwise


def speed_cells(speed: Speed) -> tuple[Cell, Cell, Cell]:
    """Throughput, speed-up with its interval, and peak memory."""
    if not was_timed(speed):
        return Cell(), Cell(), Cell()
    memory = NOTHING if speed.peak_memory_mb is None else number(speed.peak_memory_mb)
    return Cell(number(speed.throughput_per_s) + mark(speed, THROUGHPUT)), _speedup(speed), Cell(memory)


def metric_cell(metric: str, found: Interval | None) -> Cell:
    """A metric, in points where it is a fraction, with its interval."""
    if found is None:
        return Cell()
    value, low, high = (metric_figure(metric, bound) for bound in (found.value, found.low, found.high))
    return Cell(value, f"[{low}, {high}]", "strong")


def difference_cell(metric: str, found: Difference | None, *, named: bool) -> Cell:
    """A difference, in points where the metric is a fraction, with its interval; `named` says against what."""
    if found is None:
        return Cell()
    value, low, high = (signed_metric(metric, bound) for bound in (found.value, found.low, found.high))
    interval = f"[{low}, {high}]"
    return Cell(value, f"{interval} to {found.against}" if named else interval)


def references(results: Results) -> list[str]:
    """What artifacts are compared with, each once."""
    found = [artifact.difference.get(results.metric) for artifact in results.artifacts]
    return list(unique([difference.against for difference in found if difference]))


def _row(results: Results, entry: Entry, shape: tuple[int, int | None] | None) -> tuple[Cell, ...]:
    artifact, speed, metric = entry.artifact, entry.speed, results.metric
    latency = next((cell for cell in speed.latency if (cell.batch, cell.sequence) == shape), None)
    elsewhere = entry.there is not None
    own = artifact.name == results.baseline and not elsewhere
    named = elsewhere or len(references(results)) > 1
    return (
        Cell(entry.name, "(baseline)" if own else "", "plain" if elsewhere else "strong"),
        Cell("bundle" if elsewhere else artifact.stage or "as given", f"({runtime_name(speed, artifact.format)})"),
        metric_cell(metric, entry.metric(metric)),
        difference_cell(metric, entry.difference(metric), named=named),
        _size(results, artifact),
        _milliseconds(speed, latency, "p50_ms"),
        _milliseconds(speed, latency, "p99_ms"),
        *speed_cells(speed),
        Cell() if elsewhere else verdict_of(results, artifact),
    )


def _size(results: Results, artifact: ArtifactResult) -> Cell:
    known = {other.name: other for other in results.artifacts}
    baseline = known.get(results.baseline)
    if baseline is None or baseline.size_mb <= 0:
        return Cell(number(artifact.size_mb))
    return Cell(number(artifact.size_mb), f"({times(artifact.size_mb / baseline.size_mb)})")


def _milliseconds(speed: Speed, cell: Latency | None, percentile: str) -> Cell:
    if cell is None:
        return Cell()
    return Cell(number(getattr(cell, percentile)) + mark(speed, latency_name(cell)))


def _speedup(speed: Speed) -> Cell:
    if speed.speedup is None:
        return Cell()
    text = times(speed.speedup) + mark(speed, SPEEDUP)
    if speed.speedup_low is None or speed.speedup_high is None or speed.speedup_low == speed.speedup_high:
        return Cell(text, tone="strong")
    return Cell(text, f"[{number(speed.speedup_low)}, {number(speed.speedup_high)}]", "strong")


def _title(results: Results) -> str:
    splits = unique([a.metrics[results.metric].split for a in results.artifacts if results.metric in a.metrics])
    read_on = f", {results.metric} on {' and '.join(splits)}" if splits else ""
    return f"{results.recipe}: {results.task}{read_on}"


def _caption(results: Results, shape: tuple[int, int | None] | None) -> str:
    parts = []
    if any(results.metric in artifact.metrics for artifact in results.artifacts):
        parts.append(f"{results.metric}{unit_of(results.metric)} with its 95% interval")
    if len(against := references(results)) == 1:
        parts.append(f"difference to {against[0]}, paired")
    if shape is not None:
        parts.append(f"p50 and p99 of one call at {cell_name(*shape)}")
    if any(was_timed(artifact) for artifact in results.artifacts):
        parts.append("rows/s on the data's own lengths")
    parts.append(f"speed-up and size against {results.baseline}")
    if any(entry.there for entry in entries(results)):
        parts.append(
            f"@: measured by a bundle on that machine, {results.metric} on its sample, and the difference to the "
            "answers of the run on the same rows, by which a plot moves the artifact"
        )
    return "; ".join(parts) + "."


def _doubts(results: Results, shape: tuple[int, int | None] | None) -> Iterator[str]:
    shown = {THROUGHPUT, SPEEDUP}
    if shape is not None:
        shown.add(f"latency at {cell_name(*shape)}")
    for entry in entries(results):
        speed, name = entry.speed, entry.name
        sign = "" if speed.reliable else f"{MARK} "
        for remark in remarks_on(speed, shown):
            yield f"{sign}{name}: {remark}"
        if not speed.reliable and not speed.remarks:
            yield f"{sign}{name}: its repeats lie too far apart to trust the figures of speed"
