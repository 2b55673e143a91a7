"""Made-up evidence beside `tests.report.examples`: losses, latencies, flips and the rows that they are about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hfcompress.report.evidence import (
    ArtifactFlips,
    Evidence,
    Example,
    Examples,
    Flip,
    FlipCount,
    Reported,
    Samples,
    Training,
)
from hfcompress.results import Results
from tests.report.examples import HOST, demo

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
        "flips": (flips("student", 40), flips("int8", 30)),
        "examples": Examples(split="test", rows={row: example(row) for row in range(40)}),
    }
    return Evidence(**(fields | changes))


def example(row: int) -> Example:
    """What row so-and-so holds."""
    return Example(texts={"text": f"The secret words of customer {row}."})


def flips(name: str, count: int) -> ArtifactFlips:
    """Rows 0 to count - 1 flipped: lost, won and lost by turns, the classes by turns too."""
    listed = tuple(_flip(row) for row in range(count))
    by_class = {
        label: FlipCount(
            lost=sum(flip.verdict == "lost" and flip.label == label for flip in listed),
            won=sum(flip.verdict == "won" and flip.label == label for flip in listed),
        )
        for label in CLASSES
    }
    total = FlipCount(*(sum(getattr(each, what) for each in by_class.values()) for what in ("lost", "won")))
    return ArtifactFlips(name, "teacher", 1475, "rows", total, by_class, listed)


def two_runs() -> list[Reported]:
    """The run, and another one of a second recipe on a second host."""
    other = {**HOST, "cpu": "Intel Xeon Platinum 8488C", "cores": 8}
    results: Results = demo(recipe="sentiment-small", hosts={"h1": other})
    small = replace(evidence(), flips=(flips("int8", 10),), examples=None)
    return [Reported(demo(), evidence()), Reported(results, small)]


def _training(name: str, losses: tuple[str, ...]) -> Training:
    steps = range(10, 310, 10)
    return Training(
        name, {loss: tuple((step, (place + 1) / step) for step in steps) for place, loss in enumerate(losses)}
    )


def _flip(row: int) -> Flip:
    label, other = CLASSES[row % 2], CLASSES[1 - row % 2]
    if row % 3 == 1:
        return Flip(row, "won", (label,), label, before=other, after=label)
    return Flip(row, "lost", (label,), label, before=label, after=other)
