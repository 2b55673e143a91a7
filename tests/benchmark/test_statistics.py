"""Intervals agree with loops, with closed forms, and with the truth as often as they say."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from hfcompress.benchmark import statistics
from hfcompress.benchmark.statistics import metric_difference, metric_interval, percentiles, ratio_interval, spread
from hfcompress.tasks.metrics import ClassificationMetric

ACCURACY = ClassificationMetric("accuracy")


class MacroF1:
    """No mean of rows; scikit-learn's takes 3 ms a call, most of it checks."""

    def compute(self, labels: np.ndarray, predictions: np.ndarray) -> float:
        parts = []
        for label in range(3):
            truth, said = labels == label, predictions == label
            parts.append(2 * np.sum(truth & said) / max(np.sum(truth) + np.sum(said), 1))
        return float(np.mean(parts))

    def per_row(self, labels: np.ndarray, predictions: np.ndarray) -> None:
        return None


F1 = MacroF1()


def predictions_of(labels: np.ndarray, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    """Binary predictions that are right with this probability, row by row."""
    return np.where(rng.random(len(labels)) < accuracy, labels, 1 - labels)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_the_interval_of_accuracy_is_that_of_the_binomial(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 1500)
    predictions = predictions_of(labels, 0.88, rng)
    value, low, high = metric_interval(ACCURACY, labels, predictions, seed=0)
    right = int((labels == predictions).sum())
    # The bootstrap of a 0/1 mean draws from the binomial with the observed probability.
    exact = stats.binom(1500, right / 1500).ppf([0.025, 0.975]) / 1500
    assert value == right / 1500
    np.testing.assert_allclose((low, high), exact, atol=1.5e-3)


def test_the_paired_difference_has_the_normal_interval_of_row_differences(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 2000)
    a, b = predictions_of(labels, 0.9, rng), predictions_of(labels, 0.87, rng)
    value, low, high = metric_difference(ACCURACY, labels, a, b, seed=0)
    rows = (a == labels).astype(float) - (b == labels)
    half = 1.96 * rows.std() / np.sqrt(len(rows))
    assert value == pytest.approx(rows.mean())
    np.testing.assert_allclose((low, high), (value - half, value + half), atol=1.5e-3)


def test_pairing_matters(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 1000)
    a = predictions_of(labels, 0.8, rng)
    b = np.where(np.arange(1000) < 10, 1 - a, a)  # the same answers but for ten rows
    _, low, high = metric_difference(ACCURACY, labels, a, b, seed=0)
    alone = metric_interval(ACCURACY, labels, a, seed=0)
    assert high - low < (alone.high - alone.low) / 3


def test_f1_agrees_with_a_bootstrap_written_as_a_loop(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 3, 120)
    a = np.where(rng.random(120) < 0.8, labels, rng.integers(0, 3, 120))
    b = np.where(rng.random(120) < 0.6, labels, rng.integers(0, 3, 120))
    value, low, high = metric_difference(F1, labels, a, b, seed=0)
    draws = []
    for _ in range(800):
        chosen = rng.integers(0, 120, 120)
        draws.append(F1.compute(labels[chosen], a[chosen]) - F1.compute(labels[chosen], b[chosen]))
    assert value == pytest.approx(F1.compute(labels, a) - F1.compute(labels, b))
    np.testing.assert_allclose((low, high), np.percentile(draws, (2.5, 97.5)), atol=0.025)


def test_both_ways_to_resample_agree(rng: np.random.Generator) -> None:
    class Slow(ClassificationMetric):
        def per_row(self, labels: np.ndarray, predictions: np.ndarray) -> None:
            return None

    labels = rng.integers(0, 2, 500)
    predictions = predictions_of(labels, 0.8, rng)
    fast = metric_interval(ACCURACY, labels, predictions, seed=0)
    slow = metric_interval(Slow("accuracy"), labels, predictions, seed=0)
    np.testing.assert_allclose(fast, slow, atol=6e-3)


def test_95_percent_intervals_hold_the_truth_about_95_times_in_100(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_RESAMPLES_OF_ROWS", 400)
    held = 0
    for seed in range(200):
        labels = rng.integers(0, 2, 300)
        a, b = predictions_of(labels, 0.9, rng), predictions_of(labels, 0.85, rng)
        _, low, high = metric_difference(ACCURACY, labels, a, b, seed)
        held += low <= 0.05 <= high
    assert 0.88 <= held / 200 <= 0.99  # four standard errors below 0.95, three above


def test_equal_seeds_give_equal_intervals_and_other_seeds_others(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 300)
    for metric in (ACCURACY, F1):
        predictions = np.concatenate([labels[:250], 1 - labels[250:]])
        first = metric_interval(metric, labels, predictions, seed=1)
        assert first == metric_interval(metric, labels, predictions, seed=1)
    noise = rng.random(20)
    assert ratio_interval(noise, noise[::-1], seed=1) == ratio_interval(noise, noise[::-1], seed=1)
    times = rng.normal(size=1000)
    assert statistics._bootstrap_mean(times, seed=1) != statistics._bootstrap_mean(times, seed=2)


def test_a_model_against_itself_differs_by_nothing(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 100)
    a = predictions_of(labels, 0.7, rng)
    for metric in (ACCURACY, F1):
        assert metric_difference(metric, labels, a, a, seed=0) == (0.0, 0.0, 0.0)


def test_one_row_has_an_interval_without_width() -> None:
    one = np.array([1])
    assert metric_interval(ACCURACY, one, one, seed=0) == (1.0, 1.0, 1.0)
    assert metric_interval(ClassificationMetric("f1_macro"), one, one, seed=0) == (1.0, 1.0, 1.0)


def test_a_hundred_thousand_rows_stay_in_bounded_memory(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 100_000)
    metric_interval(ACCURACY, labels[:10], labels[:10], seed=0)  # scipy's own import is not what is measured
    tracemalloc.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_RESAMPLES_OF_ROWS", 200)
        metric_interval(ACCURACY, labels, labels, seed=0)
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
