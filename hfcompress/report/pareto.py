"""Which artifacts are worth having: accuracy against throughput, and the front that nothing beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hfcompress.recipe.tasks import LESS_IS_BETTER
from hfcompress.report.figures import number, times
from hfcompress.report.table import was_timed
from hfcompress.results import ArtifactResult, Results


@dataclass(frozen=True)
class Point:
    """One artifact in the plot.

    Attributes:
        name: of the artifact.
        label: what stands beside the point.
        format: `torch`, `onnx`, `openvino`: its marker.
        throughput: rows a second.
        score, low, high: the main metric, in points where it is a fraction, with its interval.
        size_mb: 10^6 bytes.
        publishable: no gate of it or of its ancestors failed.
    """

    name: str
    label: str
    format: str
    throughput: float
    score: float
    low: float
    high: float
    size_mb: float
    publishable: bool


def points_of(results: Results) -> list[Point]:
    """The artifacts that have both a metric and a throughput."""
    return [
        _point(results, artifact)
        for artifact in results.artifacts
        if results.metric in artifact.metrics and was_timed(artifact)
    ]


def front_of(results: Results, points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats in throughput and in the main metric, whichever way that is better."""
    way = -1 if results.metric in LESS_IS_BETTER else 1
    return [points[place] for place in pareto_front([(point.throughput, way * point.score) for point in points])]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of the points that no other one beats, from left to right; more is better in both coordinates.

    A point is beaten when another is at least as good in both and better in one. Of equal points all stay.
    """
    order = sorted(range(len(points)), key=lambda place: points[place], reverse=True)
    front: list[int] = []
    best_y, x_of_best = float("-inf"), float("inf")
    for place in order:  # from the right: a point stays when it is higher than all to its right
        x, y = points[place]
        if y > best_y or (y == best_y and x == x_of_best):
            front.append(place)
            best_y, x_of_best = y, x
    return sorted(front, key=lambda place: (points[place][0], place))


def _point(results: Results, artifact: ArtifactResult) -> Point:
    found = artifact.metrics[results.metric]
    if artifact.name == results.baseline:
        gain = "baseline"
    else:
        gain = "" if artifact.speedup is None else times(artifact.speedup)
    factor = 1 if results.metric in LESS_IS_BETTER else 100
    return Point(
        name=artifact.name,
        label=", ".join(part for part in (f"{number(artifact.size_mb)} MB", gain) if part),
        format=artifact.format,
        throughput=artifact.throughput_per_s,
        score=factor * found.value,
        low=factor * found.low,
        high=factor * found.high,
        size_mb=artifact.size_mb,
        publishable=artifact.publishable,
    )
