"""Recipe and host: what everything on a page with several runs belongs to, and is filtered by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hfcompress.report.entries import entries
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
        identity: f"{host.get('board') or ', '.join(map(str, host.get('gpus') or ())) or host.get('cpu') or identity}"
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


def row_scopes(results: Results, scope: Scope) -> dict[str, Scope]:
    """The name of a row, or of a point, -> its scope: rows of other machines have their own."""
    hosts = host_names(results)
    return {
        entry.name: scope if entry.there is None else replace(scope, host=hosts.get(entry.there.host, ""))
        for entry in entries(results)
    }


def stacked(parts: Sequence[tuple[Table, Scope]], rows_of: Sequence[Mapping[str, Scope]] = ()) -> ScopedTable:
    """Tables of several runs below each other; their scopes become columns where they differ.

    Args:
        parts: a table and its scope for each run.
        rows_of: for each run the scopes of rows by their name, of those that have one of their own.
    """
    own = rows_of or [{}] * len(parts)
    shown = [name for name in ("recipe", "host") if len({getattr(scope, name) for _, scope in parts}) > 1]
    more = tuple(Column(name, numeric=False) for name in shown)
    first = parts[0][0]
    scoped = [
        (row, known.get(row[0].text, scope))
        for (table, scope), known in zip(parts, own, strict=True)
        for row in table.rows
    ]
    rows = tuple((row[0], *(Cell(getattr(scope, name)) for name in shown), *row[1:]) for row, scope in scoped)
    notes = tuple(
        note if len(parts) == 1 else f"{scope.recipe}: {note}" for table, scope in parts for note in table.notes
    )
    columns = (first.columns[0], *more, *first.columns[1:])
    return ScopedTable(
        replace(first, columns=columns, rows=rows, notes=notes),
        tuple(scope for _, scope in scoped),
    )
