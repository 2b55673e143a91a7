"""Recipe and host: what everything on a page with several runs belongs to, and is filtered by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hfcompress.report.evidence import Reported
from hfcompress.report.grid import Cell, Column, Table
from hfcompress.results import Results


@dataclass(frozen=True)
class Scope:
    """What a row, a point or a flip belongs to, in words; empty words belong to every recipe or host."""

    recipe: str = ""
    host: str = ""


@dataclass(frozen=True)
class ScopedTable:
    """A table, and the scope of each row."""

    table: Table
    scopes: tuple[Scope, ...]


def recipe_names(runs: Sequence[Reported]) -> list[str]:
    """The recipes by name; numbered where two runs have one name."""
    names = [run.results.recipe for run in runs]
    return [name if names.count(name) == 1 else f"{name} #{place}" for place, name in enumerate(names, 1)]


def host_names(results: Results) -> dict[str, str]:
    """Id -> words for a host: its CPU or GPU and cores, with the id where two hosts have the same."""
    words = {
        identity: f"{', '.join(map(str, host.get('gpus') or ())) or host.get('cpu') or identity}"
        + (f", {host['cores']} cores" if host.get("cores") else "")
        for identity, host in results.hosts.items()
    }
    twice = {text for text in words.values() if list(words.values()).count(text) > 1}
    return {identity: f"{text} ({identity[:4]})" if text in twice else text for identity, text in words.items()}


def own_host(results: Results) -> str:
    """The host that a run was measured on, in words."""
    names = host_names(results)
    timed = [artifact.host for artifact in results.artifacts if artifact.host in names]
    return names[timed[0]] if timed else next(iter(names.values()), "")


def stacked(parts: Sequence[tuple[Table, Scope]]) -> ScopedTable:
    """Tables of several runs below each other; their scopes become columns where they differ."""
    shown = [name for name in ("recipe", "host") if len({getattr(scope, name) for _, scope in parts}) > 1]
    more = tuple(Column(name, numeric=False) for name in shown)
    first = parts[0][0]
    rows = tuple(
        (row[0], *(Cell(getattr(scope, name)) for name in shown), *row[1:])
        for table, scope in parts
        for row in table.rows
    )
    notes = tuple(
        note if len(parts) == 1 else f"{scope.recipe}: {note}" for table, scope in parts for note in table.notes
    )
    columns = (first.columns[0], *more, *first.columns[1:])
    return ScopedTable(
        replace(first, columns=columns, rows=rows, notes=notes),
        tuple(scope for table, scope in parts for _ in table.rows),
    )
