"""Metrics against scikit-learn and scipy, on rows as they are and on rows that count several times."""

from __future__ import annotations

import math
import socket
import warnings
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn

from hfcompress.models.folder import task_of
from hfcompress.recipe.tasks import LESS_IS_BETTER, TASKS, Metric, TaskName
from hfcompress.tasks import correlation, get_task, metrics
from hfcompress.tasks.labels import Labels
from hfcompress.tasks.metrics import Statistic, over_rows

Oracle = Callable[[np.ndarray, np.ndarray], float]
CLASSES = 4
PAIRS = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40)
NUMBERS = st.floats(-3, 3, allow_nan=False, width=16)
SEEDS = st.integers(0, 2**31)


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> Statistic:
    return metrics.mean(labels == predictions)


def quietly(oracle: Callable[..., float], **options: Any) -> Oracle:
    def computed(labels: np.ndarray, predictions: np.ndarray) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes without rows, and of constant columns
            return float(oracle(labels, predictions, **options))

    return computed


def mcc_by_hand(labels: np.ndarray, predictions: np.ndarray) -> float:
    # Gorodkin 2004, for several classes; scikit-learn's has no value for one class alone.
    counts = np.zeros((CLASSES, CLASSES))
    np.add.at(counts, (labels, predictions), 1)
    total, actual, predicted = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    above = np.diag(counts).sum() * total - actual @ predicted
    below = math.sqrt(total**2 - predicted @ predicted) * math.sqrt(total**2 - actual @ actual)
    return float(above / below) if below else 0.0


def correlation_or_0(oracle: Callable[..., Any]) -> Oracle:
    def computed(x: np.ndarray, y: np.ndarray) -> float:
        constant = len(x) < 2 or len(set(x)) == 1 or len(set(y)) == 1
        return 0.0 if constant else float(quietly(lambda a, b: oracle(a, b).statistic)(x, y))

    return computed


ONE_CLASS = [
    (accuracy, quietly(sklearn.accuracy_score)),
    (metrics.f1_macro, quietly(sklearn.f1_score, average="macro", zero_division=0)),
    (metrics.matthews_correlation, mcc_by_hand),
]
OF_NUMBERS = [
    (correlation.pearson, correlation_or_0(stats.pearsonr)),
    (correlation.spearman, correlation_or_0(stats.spearmanr)),
    (correlation.mse, quietly(sklearn.mean_squared_error)),
]


def resampled(statistic: Statistic, oracle: Oracle, labels: np.ndarray, predictions: np.ndarray, seed: int) -> None:
    """Every row once, and three resamples, against the oracle on the rows themselves."""
    rows = len(labels)
    chosen = np.vstack([np.arange(rows), np.random.default_rng(seed).integers(0, rows, (3, rows))])
    counts = np.array([np.bincount(each, minlength=rows) for each in chosen], dtype=np.float64)
    expected = [oracle(labels[each], predictions[each]) for each in chosen]
    np.testing.assert_allclose(statistic(counts), expected, atol=1e-9)


@pytest.mark.parametrize("make, oracle", ONE_CLASS)
@settings(deadline=None, max_examples=40)
@given(pairs=PAIRS, seed=SEEDS)
def test_a_metric_of_classes_is_scikit_learns_on_every_resample(
    make: Any, oracle: Oracle, pairs: list[tuple[int, int]], seed: int
) -> None:
    labels, predictions = np.array(pairs).T
    resampled(make(labels, predictions), oracle, labels, predictions, seed)


def test_matthews_correlation_is_scikit_learns() -> None:
    labels, predictions = np.random.default_rng(0).integers(0, 3, (2, 500))
    found = over_rows(metrics.matthews_correlation(labels, predictions), 500)
    assert found == pytest.approx(sklearn.matthews_corrcoef(labels, predictions))


@pytest.mark.parametrize("make, oracle", OF_NUMBERS)
@settings(deadline=None, max_examples=40)
@given(pairs=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30), seed=SEEDS)
def test_a_metric_of_numbers_is_scipys_on_every_resample(
    make: Any, oracle: Oracle, pairs: list[tuple[float, float]], seed: int
) -> None:
    labels, predictions = np.array(pairs).T.round(2)  # rounded, so that there are ties
    resampled(make(labels, predictions), oracle, labels, predictions, seed)


@pytest.mark.parametrize("make, oracle", OF_NUMBERS[:2])
def test_a_correlation_far_from_zero_keeps_its_digits(make: Any, oracle: Oracle) -> None:
    x = np.random.default_rng(0).normal(size=200)
    y = x + np.random.default_rng(1).normal(size=200)
    assert over_rows(make(x + 1e6, y + 1e6), 200) == pytest.approx(oracle(x, y), abs=1e-8)


SEVERAL: dict[str, dict[str, Any]] = {
    "f1_micro": {"average": "micro", "zero_division": 0},
    "f1_macro": {"average": "macro", "zero_division": 0},
}


@pytest.mark.parametrize("name", ["f1_micro", "f1_macro", "subset_accuracy"])
@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, rows=st.integers(1, 12), likely=st.floats(0, 1))
def test_a_metric_of_several_classes_is_scikit_learns(name: Metric, seed: int, rows: int, likely: float) -> None:
    labels, predictions = (np.random.default_rng(seed).random((2, rows, 3)) < likely).astype(np.int64)
    kept = {"label": labels.astype(np.float32), "prediction": predictions}
    several = Labels(("a", "b", "c"), {}, "multi_label_classification")
    statistic = get_task("text-classification").statistic(name, kept, several)
    oracle = sklearn.f1_score if name in SEVERAL else sklearn.accuracy_score
    resampled(statistic, quietly(oracle, **SEVERAL.get(name, {})), labels, predictions, seed)


@settings(deadline=None, max_examples=30)
@given(pairs=PAIRS, seed=SEEDS)
def test_f1_macro_of_rows_with_several_answers_each_counts_them_all(pairs: list[tuple[int, int]], seed: int) -> None:
    labels, predictions = np.array(pairs).T
    rng = np.random.default_rng(seed)
    lengths = np.bincount(rng.integers(0, 5, len(labels)), minlength=5)  # rows without any among them
    rows = np.repeat(np.arange(5), lengths)
    counts = rng.integers(0, 3, (1, 5)).astype(np.float64)
    counts[0, rows[0]] += 1
    each = np.repeat(np.arange(len(labels)), counts[0][rows].astype(int))
    expected = quietly(sklearn.f1_score, average="macro", zero_division=0)(labels[each], predictions[each])
    assert metrics.f1_macro(labels, predictions, lengths)(counts)[0] == pytest.approx(expected)


@pytest.mark.parametrize("make, oracle", ONE_CLASS)
def test_as_evaluate_computes_the_same_without_a_network(
    make: Any, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    labels, predictions = np.random.default_rng(1).integers(0, 3, (2, 50))
    computed = metrics.as_evaluate("it", make).compute(predictions=predictions, references=labels)
    assert computed == {"it": pytest.approx(oracle(labels, predictions))}


def test_as_evaluate_takes_batches() -> None:
    metric = metrics.as_evaluate("accuracy", accuracy)
    metric.add_batch(predictions=[0, 1], references=[0, 0])
    metric.add_batch(predictions=[1, 1], references=[1, 1])
    assert metric.compute() == {"accuracy": 0.75}


def test_every_task_of_the_recipe_language_has_code() -> None:
    assert set(TASKS) == set(get_args(TaskName))
    for name, language in TASKS.items():
        task = get_task(name)
        assert task.name == name
        assert task.model_class().__name__.startswith("AutoModel")
        assert task.model_class().__name__.endswith(task.head.removeprefix("For"))
        assert task_of({"architectures": [f"Some{task.head}"], "vocab_size": 9}) == name
        assert set(language.labels) <= set(language.required)
        assert set(language.metrics) <= set(get_args(Metric))


def test_less_is_better_of_metrics_that_there_are() -> None:
    assert set(get_args(Metric)) >= LESS_IS_BETTER
