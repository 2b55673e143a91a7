"""SmoothQuant's arithmetic against plain loops, and the search for alpha."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hfcompress.calibration.channels import Channels
from hfcompress.calibration.smoothquant import ALPHAS, Choice, Grid, Reader, choose, output_error, smoothing_factors

GRIDS = [Grid(*each) for each in itertools.product([True, False], [8, 7], [True, False])]


def reader(rows: np.ndarray, weight: np.ndarray) -> Reader:
    channels = Channels(sample=64)
    channels.update(rows.astype(np.float32))
    return Reader(channels, weight.astype(np.float32))


def made(seed: int, outliers: float = 1.0, outputs: int = 6) -> Reader:
    """400 rows of 8 channels, of which two are larger."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((400, 8))
    rows[:, [2, 5]] *= outliers
    return reader(rows, rng.standard_normal((8, outputs)))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_factors_are_those_of_equation_4(alpha: float) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((30, 7)) * 3, rng.standard_normal((7, 5))
    expected = []
    for channel in range(7):
        largest_x = max(abs(float(x[row, channel])) for row in range(30))
        largest_w = max(abs(float(w[channel, output])) for output in range(5))
        expected.append(largest_x**alpha / largest_w ** (1 - alpha))
    found = smoothing_factors(np.abs(x).max(axis=0), np.abs(w).max(axis=1), alpha)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_at_one_half_activations_and_weights_become_equally_large() -> None:
    x, w = np.array([0.1, 3.0, 200.0]), np.array([2.0, 0.5, 0.01])
    factors = smoothing_factors(x, w, 0.5)
    np.testing.assert_allclose(x / factors, w * factors)


def test_dead_channels_get_finite_factors() -> None:
    factors = smoothing_factors(np.array([0.0, 2.0, 0.0, 1e-30]), np.array([1.0, 0.0, 0.0, 1.0]), 0.5)
    assert factors[0] == 1.0, "no activation was seen"
    assert factors[2] == 1.0
    assert factors[1] == 1e5, "nobody reads it"
    assert factors[3] == 1e-5
    assert np.isfinite(factors).all()


def loop_error(given: Reader, factors: np.ndarray, grid: Grid) -> float:
    """`output_error`, one number at a time in float64, with integers as Python's."""
    rows, weight = given.inputs.rows.astype(float) / factors, given.weight.astype(float) * factors[:, None]
    low = min(0.0, *(given.inputs.half.low / factors))
    high = max(0.0, *(given.inputs.half.high / factors))
    if grid.symmetric_activations:
        scale, zero, bounds = max(-low, high) / 127, 0, (-128, 127)
    else:
        scale = (high - low) / 255
        zero, bounds = round(-low / scale), (0, 255)
    limit = 2 ** (grid.weight_bits - 1) - 1
    wrong = right = 0.0
    for row, output in itertools.product(range(len(rows)), range(weight.shape[1])):
        column = weight[:, output] if grid.per_channel else weight
        weight_scale = np.abs(column).max() / limit
        total = 0
        for x, w in zip(rows[row], weight[:, output], strict=True):
            integer = min(max(round(x / scale) + zero, bounds[0]), bounds[1]) - zero
            total += integer * round(w / weight_scale)
        exact = float(rows[row] @ weight[:, output])
        wrong += (exact - total * scale * weight_scale) ** 2
        right += exact**2
    return wrong / right


@pytest.mark.parametrize("grid", GRIDS)
def test_the_simulated_error_is_that_of_integers(grid: Grid) -> None:
    given = made(1, outliers=20)
    for factors in (np.ones(8), np.linspace(0.3, 4, 8)):
        assert output_error(given, factors, grid) == pytest.approx(loop_error(given, factors, grid), rel=2e-2)


def test_no_output_has_no_error() -> None:
    assert output_error(reader(np.zeros((4, 8)), np.ones((8, 2))), np.ones(8), Grid()) == 0.0
    assert output_error(reader(np.ones((4, 8)), np.zeros((8, 2))), np.ones(8), Grid()) == 0.0


def judged(readers: list[Reader], choice: Choice) -> np.ndarray:
    """The factors of the chosen alpha from the half of the rows on which they are not judged."""
    weights = np.maximum.reduce([np.abs(each.weight).max(axis=1) for each in readers])
    if choice.alpha is None:
        return np.ones(len(weights))
    return smoothing_factors(readers[0].inputs.half.largest, weights, choice.alpha)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_search_makes_no_product_worse(grid: Grid) -> None:
    moved = 0
    for seed in range(12):
        given = made(seed, outliers=[1, 1, 3, 30][seed % 4])
        readers = [given, *(Reader(given.inputs, made(seed + each, outputs=3).weight) for each in (100, 200))]
        choice = choose(readers, "auto", grid)
        errors = [
            (output_error(each, np.ones(8), grid), output_error(each, judged(readers, choice), grid))
            for each in readers
        ]
        assert all(after <= before for before, after in errors)
        assert choice.error_after == pytest.approx(np.mean([after for _, after in errors]))
        assert choice.error_before == pytest.approx(np.mean([before for before, _ in errors]))
        moved += choice.alpha is not None
        assert (choice.alpha is None) == (choice.factors == 1).all()
    assert moved >= 6


def test_the_search_takes_the_best_of_its_grid() -> None:
    given = made(3, outliers=50)
    choice = choose([given], "auto", Grid())
    half = [given.inputs.half.largest, np.abs(given.weight).max(axis=1)]
    errors = {alpha: output_error(given, smoothing_factors(*half, alpha), Grid()) for alpha in ALPHAS}
    assert choice.alpha == min(errors, key=lambda alpha: errors[alpha])
    assert choice.error_after == min(errors.values())
    expected = smoothing_factors(given.inputs.all.largest, half[1], choice.alpha)
    np.testing.assert_array_equal(choice.factors, expected, "the factors themselves are from all rows")


def test_heavy_tails_are_not_smoothed_by_what_one_row_showed() -> None:
    """Each channel is large in one row alone, so that its largest value says nothing of other rows."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((64, 8)) * 0.1
    rows[np.arange(8) * 8, np.arange(8)] = rng.uniform(3, 60, 8)
    found = {}
    for alpha in (0.3, 0.9):
        given = reader(rows, rng.standard_normal((8, 6)))
        found[alpha] = choose([given], alpha, Grid())
    assert found[0.9].error_after > found[0.9].error_before
    assert choose([given], "auto", Grid()).alpha in (None, 0.3)


def test_outliers_lose_nearly_all_of_their_harm() -> None:
    given = made(4, outliers=200)
    readers = [Reader(given.inputs, given.weight * np.where(np.isin(np.arange(8), [2, 5]), 0.005, 1.0)[:, None])]
    choice = choose(readers, "auto", Grid())
    assert choice.error_after < 0.01 * choice.error_before


def test_what_rounds_without_error_is_left_as_it_is() -> None:
    rows = np.random.default_rng(0).integers(-127, 128, (20, 8))
    rows[::2, 0], rows[1::2, 0] = -128, 127
    rows = np.concatenate([rows[:1], rows])  # the first one is always of the half that gives the range
    rows[1] = rows[2]
    weight = np.random.default_rng(1).integers(-127, 128, (8, 3))
    weight[0] = 127
    choice = choose([reader(rows, weight)], "auto", Grid())
    assert choice.alpha is None
    assert choice.error_after == choice.error_before == pytest.approx(0, abs=1e-10)


def test_a_gain_that_is_asked_for_must_be_there() -> None:
    given = made(5, outliers=3)
    free = choose([given], "auto", Grid())
    assert free.alpha is not None
    share = 1 - free.error_after / free.error_before
    assert choose([given], "auto", Grid(), gain=share * 0.99).alpha == free.alpha
    assert choose([given], "auto", Grid(), gain=share * 1.01).alpha is None


def test_an_alpha_that_is_given_is_taken_even_where_it_harms() -> None:
    given = made(6)
    tried = [choose([given], alpha / 10, Grid()) for alpha in range(11)]
    assert [each.alpha for each in tried] == [alpha / 10 for alpha in range(11)]
    assert any(each.error_after > each.error_before for each in tried)
    largest = given.inputs.all.largest
    np.testing.assert_allclose(tried[10].factors, largest, rtol=1e-6)
