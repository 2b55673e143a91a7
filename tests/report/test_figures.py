from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.report.figures import duration, number, points, signed_points, times, told_apart


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1196.4, "1,196"),
        (100, "100"),
        (99.96, "100"),
        (17.25, "17.2"),
        (9.999, "10.0"),
        (6.913, "6.91"),
        (0.42, "0.42"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_small_numbers_are_never_shown_as_nothing() -> None:
    assert [number(value) for value in (0.031, 0.0004, 0)] == ["0.031", "0.0004", "0.00"]


@given(st.floats(0.001, 1e7))
def test_a_shown_number_is_within_half_a_percent_or_half_a_unit(value: float) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=0.051, abs=0.5 if value > 99 else 0)


def test_points_are_hundred_times_the_fraction() -> None:
    assert points(0.8743) == "87.4"
    assert [signed_points(value) for value in (0.003, -0.0091, 0.0, -0.0001)] == ["+0.3", "-0.9", "0.0", "0.0"]
    assert times(6.913) == "6.91x"


def test_a_narrow_verdict_shows_the_digits_that_decide() -> None:
    assert told_apart(3.004, 3.0, 1) == ("3.004", "3.000")
    assert told_apart(0.9, 3.0, 1) == ("0.9", "3.0")
    assert told_apart(100 * 0.03, 3.0, 1) == ("3.0", "3.0")


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_the_shown_order_is_never_the_wrong_one(value: float, bound: float) -> None:
    shown = [float(text) for text in told_apart(value, bound, 1)]
    assert (shown[0] < shown[1]) <= (value < bound)
    assert (shown[0] > shown[1]) <= (value > bound)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (4.21, "4.2 s"), (59.6, "1 m 00 s"), (187, "3 m 07 s"), (7500, "2 h 05 m")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
