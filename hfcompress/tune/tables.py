"""A serving file as tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from hfcompress.report.figures import number, times
from hfcompress.report.grid import Cell, Table, Tone, numbers, words
from hfcompress.results.serving import Chosen, Goal, ServedBatches, ServedSettings, Serving, Tried

_GOALS: dict[Goal, str] = {"latency": "single rows", "throughput": "many rows"}


def chosen_table(found: Serving) -> Table:
    """What won."""
    tokens = "" if found.mean_tokens is None else f" of {found.mean_tokens:.0f} tokens on average"
    chosen = (found.latency, found.throughput)
    remarks = (f"{_GOALS[each.goal]}: {line}" for each in chosen for line in each.remarks)
    return Table(
        title=f"Best for this host: {found.artifact}, {found.cores} cores, {found.rows} rows{tokens}",
        columns=(
            *words("for", "runtime", "threads x streams", "batches"),
            *numbers("rows/s", "p50 ms", "p99 ms", "over the default session"),
        ),
        rows=tuple(_chosen(each) for each in chosen),
        caption="default session: its own runtime, all cores for one call; many rows: batches of 32 as they arrive",
        notes=(*remarks, *_left_out(found)),
    )


def tried_table(found: Serving, most: int) -> Table:
    """The `most` fastest combinations for each goal."""
    shown: list[Tried] = []
    for goal in _GOALS:
        shown += [each for each in found.tried if each.goal == goal][:most]
    left = len(found.tried) - len(shown)
    return Table(
        title="Tried, the fastest first",
        columns=(
            *words("for", "runtime", "threads x streams", "batches"),
            *numbers("rows/s", "p50 ms", "p99 ms", "passes"),
        ),
        rows=tuple((*_what(each), *_figures(each), Cell(str(each.passes))) for each in shown),
        caption=f"{left} more; --tried shows more" if left else "",
    )


def _left_out(found: Serving) -> Iterator[str]:
    """One line for each reason: a runtime that cannot run it gives one for each of its settings."""
    by_reason: dict[str, list[str]] = {}
    for each in found.left_out:
        by_reason.setdefault(each.reason, []).append(each.what)
    for reason, whats in by_reason.items():
        more = f" and {len(whats) - 1} more" if len(whats) > 1 else ""
        yield f"left out: {whats[0]}{more}: {reason}"


def _chosen(each: Chosen) -> tuple[Cell, ...]:
    interval = f"[{times(each.speedup_low)}, {times(each.speedup_high)}]"
    tone: Tone = "good" if each.speedup_low > 1 else "plain"
    return (*_what(each), *_figures(each), Cell(times(each.speedup), interval, tone))


def _what(each: Tried) -> tuple[Cell, ...]:
    return (
        Cell(_GOALS[each.goal]),
        Cell(each.settings.runtime),
        Cell(_shape(each.settings)),
        Cell(_batches(each.batching)),
    )


def _figures(each: Tried) -> tuple[Cell, ...]:
    return tuple(Cell(number(value)) for value in (each.throughput_per_s, each.p50_ms, each.p99_ms))


def _shape(settings: ServedSettings) -> str:
    return f"{settings.threads} x {settings.streams}"


def _batches(batching: ServedBatches) -> str:
    if batching.rows == 1:
        return "one row"
    tokens = "" if batching.tokens is None else f", {batching.tokens} tokens"
    return f"{batching.rows} rows{tokens}, {'sorted' if batching.sort else 'as they arrive'}"
