"""Racing against brute force, on tables of timings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.errors import MeasurementError
from hfcompress.tune.race import every, race

TABLES = st.dictionaries(st.integers(0, 200), st.floats(0.01, 100), min_size=1, max_size=60)


def never() -> bool:
    return False


class Clock:
    """Measuring takes the time that it measures; the budget is spent after so many seconds."""

    def __init__(self, table: dict[int, float], budget: float = float("inf")) -> None:
        self.table, self.budget, self.seconds = table, budget, 0.0
        self.passes: Counter[int] = Counter()

    def measure(self, key: int) -> float:
        self.seconds += self.table[key]
        self.passes[key] += 1
        return self.table[key]

    def spent(self) -> bool:
        return self.seconds > self.budget


@given(TABLES)
def test_without_noise_the_best_of_all_wins(table: dict[int, float]) -> None:
    found = race(list(table), Clock(table).measure, never)
    brute = every(list(table), Clock(table).measure, 3)
    assert table[found.best] == table[brute.best] == min(table.values())


@given(TABLES, st.floats(0, 0.5), st.integers(0, 2**32 - 1))
def test_what_wins_is_behind_the_best_by_the_noise_at_most(table: dict[int, float], noise: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = race(list(table), lambda key: table[key] * float(rng.uniform(1, 1 + noise)), never)
    assert table[found.best] <= (1 + noise) * min(table.values()) * (1 + 1e-9)


@given(TABLES, st.floats(0.01, 500))
def test_it_ends_one_pass_after_the_budget_and_knows_the_best_of_those_it_measured(
    table: dict[int, float], budget: float
) -> None:
    clock = Clock(table, budget)
    found = race(list(table), clock.measure, clock.spent)
    assert clock.seconds <= budget + max(table.values())
    assert found.seconds.keys() | found.left_out.keys() == table.keys()
    assert found.best in found.seconds
    assert table[found.best] == min(table[key] for key in found.seconds)


def test_good_candidates_are_measured_often_and_bad_ones_once() -> None:
    clock = Clock({key: 1.0 + key for key in range(64)})
    race(list(clock.table), clock.measure, never)
    assert clock.passes[0] >= 12
    assert [clock.passes[key] for key in range(32, 64)] == [1] * 32
    assert sum(clock.passes.values()) < 64 * 7 / 1.5  # what the exhaustive search would take, and less


def test_who_is_dropped_is_told_once_and_never_measured_again() -> None:
    clock, dropped = Clock({key: 1.0 + key for key in range(20)}), []

    def measure(key: int) -> float:
        assert key not in dropped
        return clock.measure(key)

    found = race(list(clock.table), measure, never, dropped.append)
    assert sorted([*dropped, *found.finalists]) == list(range(20))


def failing(bad: int) -> Callable[[int], float]:
    def measure(key: int) -> float:
        if key == bad:
            raise MeasurementError("out of memory")
        return float(key)

    return measure


@pytest.mark.parametrize("search", [lambda keys, m: race(keys, m, never), lambda keys, m: every(keys, m, 3)])
def test_a_candidate_that_fails_is_left_out_with_its_reason(
    search: Callable[[list[int], Callable[[int], float]], object],
) -> None:
    found = search([1, 2, 3], failing(1))
    assert (found.best, found.left_out) == (2, {1: "out of memory"})  # type: ignore[attr-defined]
    assert sorted(found.seconds, key=found.median) == [2, 3]  # type: ignore[attr-defined]


def test_nobody_that_can_be_measured_is_an_error_with_every_reason() -> None:
    with pytest.raises(MeasurementError, match="7: out of memory"):
        _ = race([7], failing(7), never).best


def test_turns_go_there_and_back() -> None:
    order: list[int] = []
    every([1, 2, 3], lambda key: order.append(key) or 1.0, 2)  # type: ignore[func-returns-value]
    assert order == [1, 2, 3, 3, 2, 1]
