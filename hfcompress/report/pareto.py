"""Which artifacts are worth having: accuracy against throughput, and the front that nothing beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hfcompress.recipe.tasks import LESS_IS_BETTER
from hfcompress.report.entries import Entry, entries
from hfcompress.report.figures import number, points, times
from hfcompress.report.table import was_timed
from hfcompress.results import Interval, Results


@dataclass(frozen=True)
class Point:
    """One artifact in the plot.

    Attributes:
        name: of the artifact, with the machine where that is another one than the run's.
        label: what stands beside the point.
        format: `torch`, `onnx`, `openvino`: its marker.
        throughput: rows a second.
        score, low, high: the main metric, in points where it is a fraction, with its interval.
        size_mb: 10^6 bytes.
        publishable: no gate of it or of its ancestors failed.
        elsewhere: whether it was measured on another machine than the run's.
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
    elsewhere: bool = False


def points_of(results: Results) -> list[Point]:
    """The artifacts that have both a metric and a throughput."""
    placed = [(entry, entry.placed(results.metric)) for entry in entries(results) if was_timed(entry.speed)]
    return [_point(results, entry, found) for entry, found in placed if found is not None]


def front_of(results: Results, drawn: Sequence[Point]) -> list[Point]:
    """The points that no other one beats in throughput and in the main metric, whichever way that is better.

    Those of the run's own host: what another machine does is no reason against an artifact on this one.
    """
    own = [point for point in drawn if not point.elsewhere]
    way = -1 if results.metric in LESS_IS_BETTER else 1
    return [own[place] for place in pareto_front([(point.throughput, way * point.score) for point in own])]


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


def _point(results: Results, entry: Entry, found: Interval) -> Point:
    artifact = entry.artifact
    factor = 1 if results.metric in LESS_IS_BETTER else 100
    return Point(
        name=entry.name,
        label=", ".join(part for part in _label(results, entry) if part),
        format=artifact.format,
        throughput=entry.speed.throughput_per_s,
        score=factor * found.value,
        low=factor * found.low,
        high=factor * found.high,
        size_mb=artifact.size_mb,
        publishable=artifact.publishable,
        elsewhere=entry.there is not None,
    )


def _label(results: Results, entry: Entry) -> tuple[str, ...]:
    """What stands beside a point, below its name."""
    if entry.there is not None:
        agreed = entry.there.agreement
        return ("" if agreed is None else f"{points(agreed.share)}% equal answers",)
    size, speedup = f"{number(entry.artifact.size_mb)} MB", entry.artifact.speedup
    if entry.artifact.name == results.baseline:
        return size, "baseline"
    return size, "" if speedup is None else times(speedup)
