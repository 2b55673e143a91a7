"""Metrics against scikit-learn and a confusion matrix counted by hand."""

from __future__ import annotations

import math
import socket
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from hfcompress.recipe.tasks import TASKS, Metric, TaskName
from hfcompress.tasks import get_task
from hfcompress.tasks.metrics import ClassificationMetric

METRICS: tuple[Metric, ...] = get_args(Metric)
CLASSES = 4
PAIRS = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60)


def confusion(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    counts = np.zeros((CLASSES, CLASSES))
    for label, prediction in zip(labels, predictions, strict=True):
        counts[label, prediction] += 1
    return counts


def by_hand(name: Metric, counts: np.ndarray) -> float:
    hits, total = np.diag(counts), counts.sum()
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)
    if name == "accuracy":
        return float(hits.sum() / total)
    if name == "f1_macro":
        seen = (actual + predicted) > 0
        return float(np.mean(2 * hits[seen] / (actual + predicted)[seen]))
    # Gorodkin 2004, for several classes.
    above = hits.sum() * total - actual @ predicted
    below = math.sqrt(total**2 - predicted @ predicted) * math.sqrt(total**2 - actual @ actual)
    return float(above / below) if below else 0.0


@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None, max_examples=60)
@given(pairs=PAIRS)
def test_a_metric_equals_the_confusion_matrix_counted_by_hand(name: Metric, pairs: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(pairs).T
    expected = by_hand(name, confusion(labels, predictions))
    assert ClassificationMetric(name).compute(labels, predictions) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "name, oracle",
    [
        ("accuracy", sklearn.accuracy_score),
        ("f1_macro", lambda labels, predictions: sklearn.f1_score(labels, predictions, average="macro")),
        ("matthews_correlation", sklearn.matthews_corrcoef),
    ],
)
def test_a_metric_equals_scikit_learns(name: Metric, oracle) -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 3, (2, 500))
    assert ClassificationMetric(name).compute(labels, predictions) == pytest.approx(oracle(labels, predictions))


@settings(deadline=None)
@given(PAIRS)
def test_the_mean_of_the_rows_parts_is_the_accuracy(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(pairs).T
    metric = ClassificationMetric("accuracy")
    parts = metric.per_row(labels, predictions)
    assert parts is not None
    assert parts.mean() == pytest.approx(metric.compute(labels, predictions))


@pytest.mark.parametrize("name", [name for name in METRICS if name != "accuracy"])
def test_a_metric_that_is_no_mean_over_rows_has_no_parts(name: Metric) -> None:
    assert ClassificationMetric(name).per_row(np.array([0, 1]), np.array([0, 1])) is None


@pytest.mark.parametrize("name", METRICS)
def test_as_evaluate_computes_the_same_without_a_network(name: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    labels, predictions = np.random.default_rng(1).integers(0, 3, (2, 50))
    metric = ClassificationMetric(name)
    computed = metric.as_evaluate().compute(predictions=predictions, references=labels)
    assert computed == {name: pytest.approx(metric.compute(labels, predictions))}


def test_as_evaluate_takes_batches() -> None:
    metric = ClassificationMetric("accuracy").as_evaluate()
    metric.add_batch(predictions=[0, 1], references=[0, 0])
    metric.add_batch(predictions=[1, 1], references=[1, 1])
    assert metric.compute() == {"accuracy": 0.75}


def test_every_task_of_the_recipe_language_has_code_and_metrics_that_compute() -> None:
    assert set(TASKS) == set(get_args(TaskName))
    for name, language in TASKS.items():
        task = get_task(name)
        assert task.name == name
        assert task.model_class().__name__.startswith("AutoModelFor")
        assert task.model_class().__name__.endswith(task.head.removeprefix("For"))
        assert "label" in language.required
        for metric in language.metrics:
            assert ClassificationMetric(metric).compute(np.array([0, 1]), np.array([0, 1])) == 1.0


def test_the_prediction_is_the_class_with_the_largest_logit() -> None:
    logits = np.array([[0.1, 0.9, 0.0], [-1.0, -2.0, -0.5]], dtype=np.float32)
    assert get_task("text-classification").predictions({"logits": logits}).tolist() == [1, 2]
