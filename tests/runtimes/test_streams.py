"""Calls side by side give what one call after another gives, and are side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.runtimes.open import runtime_for
from hfcompress.runtimes.settings import Settings
from hfcompress.runtimes.streams import Streams
from hfcompress.runtimes.torch import TorchRuntime

Batch = dict[str, np.ndarray]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert list(Streams(count).map(lambda value: value * value, range(50))) == [value * value for value in range(50)]


def test_two_streams_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    list(Streams(2).map(lambda _: both.wait(), range(4)))  # one stream alone would wait in vain


@pytest.mark.parametrize("count, ahead", [(1, 1), (2, 4), (3, 6)])
def test_items_are_read_a_few_ahead_and_not_all(count: int, ahead: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for value in range(1000):
            taken.append(value)
            yield value

    results = Streams(count).map(lambda value: value, items())
    assert next(results) == 0
    assert len(taken) <= ahead


def test_a_call_that_fails_raises_in_its_turn() -> None:
    def call(value: int) -> int:
        if value == 3:
            raise ValueError("three")
        return value

    results = Streams(2).map(call, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


@pytest.mark.export
@pytest.mark.parametrize("threads", [1, 2])
def test_streams_of_onnx_runtime_give_the_answers_of_one_call(
    tmp_path: Path, batch: Batch, write_graph: Callable[..., Path], threads: int
) -> None:
    write_graph(tmp_path / "model.onnx")
    one = runtime_for(tmp_path, "onnx", "text-classification", Settings(threads=1))
    several = runtime_for(tmp_path, "onnx", "text-classification", Settings(threads=threads, streams=3))
    batches = [{name: array[:, : 2 + index % 5] if array.ndim > 1 else array for name, array in batch.items()}
               for index in range(30)]  # fmt: skip
    for expected, found in zip(map(one.predict, batches), Streams(3).map(several.predict, batches), strict=True):
        np.testing.assert_array_equal(found["logits"], expected["logits"])


@pytest.mark.export
@pytest.mark.parametrize("threads, sessions", [(1, 1), (2, 3)])
def test_streams_of_one_thread_share_a_session_and_others_have_their_own(
    tmp_path: Path, write_graph: Callable[..., Path], threads: int, sessions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    opened: list[Any] = []
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: opened.append(real(*a, **k)) or opened[-1])
    write_graph(tmp_path / "model.onnx")
    runtime_for(tmp_path, "onnx", "text-classification", Settings(threads=threads, streams=3))
    assert len(opened) == sessions


def test_streams_of_torch_keep_their_threads_and_their_answers(bert_folder: Path, batch: Batch) -> None:
    import torch

    runtime = runtime_for(bert_folder, "torch", "text-classification", Settings(threads=2, streams=2))
    assert isinstance(runtime, TorchRuntime)
    expected, seen, before = runtime.predict(batch)["logits"], set(), torch.get_num_threads()
    runtime._model.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
    for found in Streams(2).map(runtime.predict, [batch] * 20):
        np.testing.assert_allclose(found["logits"], expected, atol=1e-6)
    assert seen == {2}
    assert torch.get_num_threads() == before


def test_threads_that_are_left_open_are_those_of_the_machine_over_the_streams(
    bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert runtime_for(bert_folder, "torch", "text-classification", Settings(streams=2)).threads == 4
    assert Settings(streams=16).threads_of(8) == 1
