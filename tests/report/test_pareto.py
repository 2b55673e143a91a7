from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hfcompress.report.pareto import pareto_front, points_of
from tests.report.examples import changed, demo, failed

# Few distinct values, so that ties and equal points are common.
_coordinates = st.integers(0, 5).map(float) | st.floats(0, 5)
_points = st.lists(st.tuples(_coordinates, _coordinates), max_size=12)


def brute_force(points: list[tuple[float, float]]) -> set[int]:
    def beaten(place: int) -> bool:
        x, y = points[place]
        return any(a >= x and b >= y and (a > x or b > y) for a, b in points)

    return {place for place in range(len(points)) if not beaten(place)}


@given(_points)
def test_the_front_is_what_no_other_point_beats(points: list[tuple[float, float]]) -> None:
    front = pareto_front(points)
    assert set(front) == brute_force(points)
    assert len(front) == len(set(front))


@given(_points)
def test_the_front_goes_down_to_the_right(points: list[tuple[float, float]]) -> None:
    front = [points[place] for place in pareto_front(points)]
    assert [x for x, _ in front] == sorted(x for x, _ in front)
    assert [y for _, y in front] == sorted((y for _, y in front), reverse=True)


def test_points_carry_what_the_plot_says() -> None:
    teacher, *_, int8 = points_of(demo())
    assert teacher.label == "90.9 MB, baseline"
    assert int8.label == "17.6 MB, 6.91x"
    assert round(int8.score, 1) == 87.4
    assert [point.publishable for point in points_of(failed())] == [True, False, False, False]


def test_an_artifact_without_metric_or_throughput_is_no_point() -> None:
    results = changed(changed(demo(), "onnx", metrics={}), "int8", throughput_per_s=0.0)
    assert [point.name for point in points_of(results)] == ["teacher", "student"]
