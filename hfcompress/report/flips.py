"""Flipped answers as a table: how many each artifact lost and won against its reference, by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hfcompress.report.figures import NOTHING, points
from hfcompress.report.grid import Cell, Column, Table, numbers, words
from hfcompress.results import ArtifactResult, ClassResult, Flips, Results

#: Classes with a column of their own, if any of their answers flipped: of more, those with the most.
MOST_CLASSES = 10


def compared(results: Results) -> Iterator[tuple[ArtifactResult, Flips]]:
    """The artifacts whose flips are shown: what was given is what the run began with, and lost nothing by it."""
    for artifact in results.artifacts:
        if artifact.stage is not None and artifact.flips is not None:
            yield artifact, artifact.flips


def flips_table(results: Results) -> Table:
    """One row an artifact: answers, how many differ, those lost and won, and both for each class."""
    flipped = _flipped([artifact for artifact, _ in compared(results)])
    classes = _most(flipped)
    rest = len(flipped) - len(classes)
    return Table(
        title="Flipped answers",
        columns=(
            *words("model", "against"),
            *numbers("answers", "differ", "lost", "won"),
            *(Column(name, "lost, won") for name in classes),
        ),
        rows=tuple(_row(artifact, flips, classes) for artifact, flips in compared(results)),
        caption="Lost: right in the reference and wrong here; won: the other way round; by the class that is true, or "
        "that is asked about where a row may have several.",
        notes=(f"{rest} classes with fewer flips have no column of their own",) if rest else (),
    )


def _row(artifact: ArtifactResult, flips: Flips, classes: Sequence[str]) -> tuple[Cell, ...]:
    found = {each.label: each for each in artifact.classes}
    return (
        Cell(artifact.name, tone="strong"),
        Cell(flips.against),
        Cell(f"{flips.answers:,}"),
        Cell(f"{flips.changed:,}", f"({points(flips.changed / flips.answers)}%)" if flips.answers else ""),
        Cell(f"{flips.lost:,}", tone="bad" if flips.lost else "plain"),
        Cell(f"{flips.won:,}", tone="good" if flips.won else "plain"),
        *(_lost_and_won(found.get(name)) for name in classes),
    )


def _lost_and_won(found: ClassResult | None) -> Cell:
    return Cell(f"-{found.lost:,} +{found.won:,}" if found is not None and found.lost + found.won else NOTHING)


def _most(flipped: dict[str, int]) -> list[str]:
    """The classes in their order; where there are too many, those with the most flips, most first."""
    if len(flipped) <= MOST_CLASSES:
        return list(flipped)
    return sorted(flipped, key=lambda name: -flipped[name])[:MOST_CLASSES]


def _flipped(artifacts: Sequence[ArtifactResult]) -> dict[str, int]:
    """Class -> its flips over all artifacts, where there are any."""
    sums: dict[str, int] = {}
    for found in (found for artifact in artifacts for found in artifact.classes):
        sums[found.label] = sums.get(found.label, 0) + found.lost + found.won
    return {name: count for name, count in sums.items() if count}
