"""Intervals agree with loops, with closed forms, and with the truth as often as they say."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from hfcompress.benchmark import statistics
from hfcompress.benchmark.statistics import metric_difference, metric_interval, percentiles, ratio_interval, spread
from hfcompress.tasks.correlation import spearman
from hfcompress.tasks.metrics import Statistic, f1_macro, mean


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> Statistic:
    return mean(labels == predictions)


def predictions_of(labels: np.ndarray, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    """Binary predictions that are right with this probability, row by row."""
    return np.where(rng.random(len(labels)) < accuracy, labels, 1 - labels)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_the_interval_of_accuracy_is_that_of_the_binomial(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 1500)
    predictions = predictions_of(labels, 0.88, rng)
    value, low, high = metric_interval(accuracy(labels, predictions), len(labels), seed=0)
    right = int((labels == predictions).sum())
    # The bootstrap of a 0/1 mean draws from the binomial with the observed probability.
    exact = stats.binom(1500, right / 1500).ppf([0.025, 0.975]) / 1500
    assert value == right / 1500
    np.testing.assert_allclose((low, high), exact, atol=1.5e-3)


def test_the_paired_difference_has_the_normal_interval_of_row_differences(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 2000)
    a, b = predictions_of(labels, 0.9, rng), predictions_of(labels, 0.87, rng)
    value, low, high = metric_difference(accuracy(labels, a), accuracy(labels, b), len(labels), seed=0)
    rows = (a == labels).astype(float) - (b == labels)
    half = 1.96 * rows.std() / np.sqrt(len(rows))
    assert value == pytest.approx(rows.mean())
    np.testing.assert_allclose((low, high), (value - half, value + half), atol=1.5e-3)


def test_pairing_matters(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 1000)
    a = predictions_of(labels, 0.8, rng)
    b = np.where(np.arange(1000) < 10, 1 - a, a)  # the same answers but for ten rows
    _, low, high = metric_difference(accuracy(labels, a), accuracy(labels, b), len(labels), seed=0)
    alone = metric_interval(accuracy(labels, a), len(labels), seed=0)
    assert high - low < (alone.high - alone.low) / 3


def test_f1_agrees_with_a_bootstrap_written_as_a_loop(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 3, 120)
    a = np.where(rng.random(120) < 0.8, labels, rng.integers(0, 3, 120))
    b = np.where(rng.random(120) < 0.6, labels, rng.integers(0, 3, 120))
    value, low, high = metric_difference(f1_macro(labels, a), f1_macro(labels, b), 120, seed=0)
    draws = []
    for _ in range(800):
        chosen = rng.integers(0, 120, 120)
        draws.append(f1(labels[chosen], a[chosen]) - f1(labels[chosen], b[chosen]))
    assert value == pytest.approx(f1(labels, a) - f1(labels, b))
    np.testing.assert_allclose((low, high), np.percentile(draws, (2.5, 97.5)), atol=0.025)


def f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    parts = []
    for label in range(3):
        truth, said = labels == label, predictions == label
        parts.append(2 * np.sum(truth & said) / max(np.sum(truth) + np.sum(said), 1))
    return float(np.mean(parts))


def test_the_interval_of_a_rank_correlation_is_scipys(rng: np.random.Generator) -> None:
    x = rng.normal(size=60).round(1)
    y = x + rng.normal(size=60)
    found = metric_interval(spearman(x, y), 60, seed=0)
    theirs = stats.bootstrap(
        (x, y), lambda a, b: stats.spearmanr(a, b).statistic, paired=True, vectorized=False,
        method="percentile", n_resamples=1500, rng=rng,
    ).confidence_interval  # fmt: skip
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)
    np.testing.assert_allclose(found[1:], theirs, atol=0.03)


def test_95_percent_intervals_hold_the_truth_about_95_times_in_100(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_RESAMPLES", 400)
    held = 0
    for seed in range(200):
        labels = rng.integers(0, 2, 300)
        a, b = predictions_of(labels, 0.9, rng), predictions_of(labels, 0.85, rng)
        _, low, high = metric_difference(accuracy(labels, a), accuracy(labels, b), len(labels), seed)
        held += low <= 0.05 <= high
    assert 0.88 <= held / 200 <= 0.99  # four standard errors below 0.95, three above


def test_equal_seeds_give_equal_intervals_and_other_seeds_others(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 300)
    predictions = np.concatenate([labels[:250], 1 - labels[250:]])
    for metric in (accuracy(labels, predictions), f1_macro(labels, predictions)):
        assert metric_interval(metric, 300, seed=1) == metric_interval(metric, 300, seed=1)
    noise = rng.random(20)
    assert ratio_interval(noise, noise[::-1], seed=1) == ratio_interval(noise, noise[::-1], seed=1)
    times = mean(rng.normal(size=1000))
    assert metric_interval(times, 1000, seed=1) != metric_interval(times, 1000, seed=2)


def test_a_model_against_itself_differs_by_nothing(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 100)
    a = predictions_of(labels, 0.7, rng)
    for metric in (accuracy(labels, a), f1_macro(labels, a)):
        assert metric_difference(metric, metric, 100, seed=0) == (0.0, 0.0, 0.0)


def test_one_row_has_an_interval_without_width() -> None:
    one = np.array([1])
    assert metric_interval(accuracy(one, one), 1, seed=0) == (1.0, 1.0, 1.0)
    assert metric_interval(f1_macro(one, one), 1, seed=0) == (1.0, 1.0, 1.0)


def test_a_hundred_thousand_rows_stay_in_bounded_memory(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 100_000)
    metric_interval(accuracy(labels[:10], labels[:10]), 10, seed=0)  # scipy's own import is not what is measured
    tracemalloc.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_RESAMPLES", 200)
        metric_interval(accuracy(labels, labels), 100_000, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6


def test_the_ratio_is_the_median_over_passes_and_ignores_what_slows_both() -> None:
    load = np.array([1.0, 1.1, 5.0, 0.9, 1.0, 2.0, 1.2])  # a noisy machine, felt by both in the same pass
    value, low, high = ratio_interval(list(6.0 * load), list(load), seed=0)
    np.testing.assert_allclose((value, low, high), 6.0)


def test_the_ratios_interval_is_scipys_of_the_median(rng: np.random.Generator) -> None:
    a, b = rng.lognormal(1, 0.2, 25), rng.lognormal(0, 0.2, 25)
    theirs = stats.bootstrap((a / b,), np.median, method="percentile", n_resamples=20_000, rng=rng).confidence_interval
    value, low, high = ratio_interval(list(a), list(b), seed=0)
    assert value == np.median(a / b)
    np.testing.assert_allclose((low, high), theirs, rtol=0.02)


def test_ratios_of_unequal_numbers_of_passes_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        ratio_interval([1.0, 2.0], [1.0], seed=0)


def test_percentiles_are_in_order_and_those_of_numpy(rng: np.random.Generator) -> None:
    samples = list(rng.exponential(size=37))
    found = percentiles(samples)
    assert list(found) == sorted(found)
    assert found.p95 == np.percentile(samples, 95)
    assert max(percentiles([1.0] * 29 + [2.0])) <= 2.0


def test_spread_is_relative_and_does_not_mind_a_few_slow_calls() -> None:
    steady = [1.0 + 0.001 * i for i in range(30)]
    assert spread([1000 * value for value in steady]) == pytest.approx(spread(steady))
    assert spread([*steady, 50.0, 60.0]) < 0.03
    assert spread([1.0, 2.0, 3.0, 4.0]) > statistics.SPREAD_LIMIT
