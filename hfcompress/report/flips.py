"""Flipped answers as a table: how many each artifact lost and won against its reference, by class."""

from __future__ import annotations

from collections.abc import Sequence

from hfcompress.report.evidence import ArtifactFlips, FlipCount
from hfcompress.report.figures import NOTHING, points
from hfcompress.report.grid import Cell, Column, Table, numbers, words

#: Classes with a column of their own, if any of their answers flipped: of more, those with the most.
MOST_CLASSES = 10


def flips_table(flips: Sequence[ArtifactFlips]) -> Table:
    """One row an artifact: answers, how many differ, those lost and won, and both for each class."""
    classes = _classes(flips)
    rest = len(_flipped(flips)) - len(classes)
    unit = flips[0].unit if flips else "rows"
    return Table(
        title="Flipped answers",
        columns=(
            *words("model", "against"),
            *numbers(unit, "differ", "lost", "won"),
            *(Column(name, "lost, won") for name in classes),
        ),
        rows=tuple(_row(each, classes) for each in flips),
        caption="Lost: right in the reference and wrong here; won: the other way round; by the class that is true.",
        notes=(f"{rest} classes with fewer flips have no column of their own",) if rest else (),
    )


def _row(flips: ArtifactFlips, classes: Sequence[str]) -> tuple[Cell, ...]:
    differ = _all(flips.total)
    return (
        Cell(flips.artifact, tone="strong"),
        Cell(flips.against),
        Cell(f"{flips.answers:,}"),
        Cell(f"{differ:,}", f"({points(differ / flips.answers)}%)" if flips.answers else ""),
        Cell(f"{flips.total.lost:,}", tone="bad" if flips.total.lost else "plain"),
        Cell(f"{flips.total.won:,}", tone="good" if flips.total.won else "plain"),
        *(_lost_and_won(flips.by_class.get(name)) for name in classes),
    )


def _lost_and_won(count: FlipCount | None) -> Cell:
    if count is None:
        return Cell()
    return Cell(f"-{count.lost:,} +{count.won:,}") if _all(count) else Cell(NOTHING)


def _classes(flips: Sequence[ArtifactFlips]) -> list[str]:
    """The classes in their order; where there are too many, those with the most flips, most first."""
    flipped = _flipped(flips)
    if len(flipped) <= MOST_CLASSES:
        return list(flipped)
    return sorted(flipped, key=lambda name: -flipped[name])[:MOST_CLASSES]


def _flipped(flips: Sequence[ArtifactFlips]) -> dict[str, int]:
    """Class -> its flips over all artifacts, where there are any."""
    names = dict.fromkeys(name for each in flips for name in each.by_class)
    sums = {name: sum(_all(each.by_class[name]) for each in flips if name in each.by_class) for name in names}
    return {name: count for name, count in sums.items() if count}


def _all(count: FlipCount) -> int:
    return count.lost + count.won + count.changed
