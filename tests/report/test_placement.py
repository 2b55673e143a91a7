from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.report.placement import Box, Scene, place_labels

FRAME = Box(0, 0, 1100, 600)
SIZE = (150.0, 40.0)


def marker(point: tuple[float, float]) -> Box:
    x, y = point
    return Box(x - 12, y - 12, x + 12, y + 12)


def place(points: list[tuple[float, float]]) -> list[Box]:
    return place_labels(points, [SIZE] * len(points), Scene(FRAME, [marker(p) for p in points]), gap=20)


def test_a_lone_label_stands_close_to_its_point() -> None:
    (box,) = place([(500.0, 300.0)])
    assert box.distance((500.0, 300.0)) <= 25
    assert box.overlap(marker((500.0, 300.0))) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(200, 900), st.floats(150, 450)), min_size=3, max_size=8, unique=True))
def test_up_to_eight_labels_never_cover_each_other_nor_leave_the_frame(points: list[tuple[float, float]]) -> None:
    boxes = place(points)
    assert all(a.overlap(b) == 0 for a, b in itertools.combinations(boxes, 2))
    assert all(box.overlap(FRAME) >= box.area - 1e-6 for box in boxes)


def test_points_in_one_place_get_labels_in_different_places() -> None:
    boxes = place([(500.0 + 4 * number, 300.0) for number in range(8)])
    assert all(a.overlap(b) == 0 for a, b in itertools.combinations(boxes, 2))


def test_a_label_goes_round_a_line_where_there_is_room() -> None:
    line = Box(500 + 30, 0, 500 + 36, 600)
    (box,) = place_labels([(500.0, 300.0)], [SIZE], Scene(FRAME, [marker((500.0, 300.0))], [line]), gap=20)
    assert box.overlap(line) == 0


def test_equal_input_gives_equal_output() -> None:
    points = [(300.0, 200.0), (310.0, 205.0), (320.0, 210.0)]
    assert place(points) == place(points)
