"""Made-up evidence beside `tests.report.examples`: losses, latencies, flips and the rows that they are about."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from hfcompress.report.evidence import Evidence, Example, Examples, Flip, Reported, Samples, Training
from hfcompress.results import ClassResult, Flips, Results
from tests.report.examples import HOST, changed, demo

#: A red dot: one pixel, PNG.
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
CLASSES = ("negative", "positive")


def evidence(**changes: Any) -> Evidence:
    """What a run leaves: two trainings, the calls of every artifact, 40 flipped rows of the student, 30 of INT8."""
    rng = np.random.default_rng(0)
    fields: dict[str, Any] = {
        "recipe": "name: sentiment-demo\n",
        "trainings": (
            _training("teacher", ("loss", "loss_label")),
            _training("student", ("loss", "loss_kl", "loss_label")),
        ),
        "samples": tuple(
            Samples(artifact.name, cell.batch, cell.sequence, tuple(rng.normal(cell.p50_ms, 0.05 * cell.p50_ms, 30)))
            for artifact in demo().artifacts
            for cell in artifact.latency
        ),
        "examples": examples(),
    }
    return Evidence(**(fields | changes))


def examples(**changes: Any) -> Examples:
    """The flips of the student and of INT8, with their rows."""
    fields: dict[str, Any] = {
        "split": "test",
        "flips": {"student": flips(40), "int8": flips(30)},
        "rows": {row: example(row) for row in range(40)},
    }
    return Examples(**(fields | changes))


def example(row: int) -> Example:
    """What row so-and-so holds."""
    return Example(texts={"text": f"The secret words of customer {row}."})


def flips(count: int) -> tuple[Flip, ...]:
    """Rows 0 to count - 1: lost, won and lost by turns, the classes by turns too."""
    return tuple(_flip(row) for row in range(count))


def counted(results: Results, told: Evidence) -> Results:
    """The results with the flips of the evidence, and of no more."""
    listed = told.examples.flips if told.examples is not None else {}
    for name, found in listed.items():
        lost, won = (Counter(flip.about for flip in found if flip.verdict == verdict) for verdict in ("lost", "won"))
        classes = tuple(
            ClassResult(label=label, rows=700, recall=0.8, reference_recall=0.8, lost=lost[label], won=won[label])
            for label in sorted({flip.about for flip in found if flip.about is not None})
        )
        total = Flips(
            against="teacher", split="test", answers=1475, changed=len(found), won=won.total(), lost=lost.total()
        )
        results = changed(results, name, flips=total, classes=classes)
    return results


def reported(results: Results | None = None, told: Evidence | None = None) -> Reported:
    """A run whose results count the flips that its evidence lists."""
    told = told or evidence()
    return Reported(counted(results or demo(), told), told)


def two_runs() -> list[Reported]:
    """The run, and another one of a second recipe on a second host."""
    other = {**HOST, "cpu": "Intel Xeon Platinum 8488C", "cores": 8}
    small = demo(recipe="sentiment-small", hosts={"h1": other})
    return [reported(), reported(small, evidence(examples=examples(flips={"int8": flips(10)}, rows={})))]


def _training(name: str, losses: tuple[str, ...]) -> Training:
    steps = range(10, 310, 10)
    return Training(
        name, {loss: tuple((step, (place + 1) / step) for step in steps) for place, loss in enumerate(losses)}
    )


def _flip(row: int) -> Flip:
    label, other = CLASSES[row % 2], CLASSES[1 - row % 2]
    if row % 3 == 1:
        return Flip(row=row, verdict="won", about=label, label=label, before=other, after=label)
    return Flip(row=row, verdict="lost", about=label, label=label, before=label, after=other)
