"""Where labels go beside the points of a plot so that nothing covers anything. Pure geometry, in pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: Tried around a point, best first: a reader looks to the right and above.
_DIRECTIONS = (45, 0, 90, -45, -90, 180, 135, -135, 20, -20, 70, -70, 110, -110, 160, -160)
_DISTANCES = (1.0, 1.8, 3.0, 4.5, 6.5)
#: What goes wrong, in the same unit as a step further away: text over text or a marker is never worth it, text over a
#: thin line may be, and a label nearer to another point than to its own misleads.
_COVERED = 2000.0
_CROSSED = 90.0
_MISLEADING = 250.0
_OUTSIDE = 9000.0
_ROUNDS = 6


class Box(NamedTuple):
    """A rectangle: two opposite corners."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area that both cover, square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.right - self.left) * (self.top - self.bottom)

    def distance(self, point: tuple[float, float]) -> float:
        """From the nearest place of the box to a point, pixels."""
        x, y = point
        return math.hypot(max(self.left - x, 0, x - self.right), max(self.bottom - y, 0, y - self.top))


@dataclass(frozen=True)
class Scene:
    """What is there before the labels.

    Attributes:
        frame: what labels stay in.
        markers: what no label may cover.
        lines: what no label should cover: error bars, a curve.
    """

    frame: Box
    markers: Sequence[Box] = ()
    lines: Sequence[Box] = ()


def place_labels(
    anchors: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], scene: Scene, gap: float
) -> list[Box]:
    """Where each label goes: as near to its point as it can without covering anything.

    Coordinate descent from the nearest places: each label in turn takes its best place given the others, until none
    moves. Equal input, equal output.

    Args:
        anchors: the points.
        sizes: width and height of each label.
        scene: what is there already.
        gap: the distance of the nearest place from its point.
    """
    choices = [
        [
            (box, far + _cost_in(scene, box) + _misleading(box, number, anchors))
            for box, far in _places(anchor, size, gap)
        ]
        for number, (anchor, size) in enumerate(zip(anchors, sizes, strict=True))
    ]
    placed = [min(options, key=lambda option: option[1])[0] for options in choices]
    for _ in range(_ROUNDS):
        before = list(placed)
        for number, options in enumerate(choices):
            others = [*placed[:number], *placed[number + 1 :]]
            placed[number] = min(options, key=lambda option: option[1] + _covered(option[0], others))[0]
        if placed == before:
            break
    return placed


def _places(anchor: tuple[float, float], size: tuple[float, float], gap: float) -> Iterator[tuple[Box, float]]:
    """Places around a point with the cost of each place itself: far is worse than an unusual side."""
    (x, y), (width, height) = anchor, size
    for distance, (rank, angle) in itertools.product(_DISTANCES, enumerate(_DIRECTIONS)):
        dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        # The label's near side touches the circle of this radius; its centre lies further out.
        centre_x = x + dx * gap * distance + _away(dx) * width / 2
        centre_y = y + dy * gap * distance + _away(dy) * height / 2
        box = Box(centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2)
        yield box, 40 * (distance - 1) + rank


def _away(component: float) -> float:
    """-1, 0 or 1 with a soft middle: labels above a point are centred on it, those beside it are not."""
    return max(-1.0, min(1.0, 1.6 * component))


def _cost_in(scene: Scene, box: Box) -> float:
    outside = 1 - box.overlap(scene.frame) / box.area
    crossed = sum(_CROSSED for line in scene.lines if box.overlap(line) > 0)
    return _covered(box, scene.markers) + crossed + (_OUTSIDE * (outside + 0.1) if outside > 1e-9 else 0.0)


def _covered(box: Box, others: Sequence[Box]) -> float:
    shares = [box.overlap(other) / min(box.area, other.area) for other in others]
    return sum(_COVERED * (0.1 + share) for share in shares if share > 0)


def _misleading(box: Box, own: int, anchors: Sequence[tuple[float, float]]) -> float:
    mine = box.distance(anchors[own])
    return sum(_MISLEADING for anchor in anchors if anchor != anchors[own] and box.distance(anchor) < mine)
