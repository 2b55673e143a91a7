"""What is tried."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.errors import InputError
from hfcompress.runtimes.batching import Batching
from hfcompress.runtimes.settings import Settings
from hfcompress.tune.candidates import UNTUNED, batchings_for, default_settings, installed_runtimes, settings_for


@given(st.integers(1, 96))
def test_threads_times_streams_fit_the_cores_and_the_default_is_among_them(cores: int) -> None:
    found = settings_for(("onnxruntime:CPUExecutionProvider",), cores)
    assert all(each.threads is not None and each.threads * each.streams <= cores for each in found)
    assert len(set(found)) == len(found)
    assert default_settings(("onnxruntime:CPUExecutionProvider",), cores) in found
    assert {(1, cores), (1, 1)} <= {(each.threads, each.streams) for each in found}


def test_on_two_cores_there_are_three_settings_and_those_that_use_both_come_first() -> None:
    assert settings_for(("torch",), 2) == [Settings("torch", 1, 2), Settings("torch", 2, 1), Settings("torch", 1, 1)]


def test_ways_that_give_the_same_batches_are_tried_once() -> None:
    lengths = np.array([5, 9, 4, 9, 7])
    found = batchings_for(lengths)
    assert UNTUNED in found
    groups = [tuple(tuple(sorted(group)) for group in each.groups(lengths)) for each in found if each != UNTUNED]
    assert len(set(groups)) == len(groups)


def test_rows_of_one_size_are_not_sorted_and_no_tokens_are_counted() -> None:
    found = batchings_for(np.ones(200, dtype=np.int64))
    assert UNTUNED in found
    assert all(not each.sort and each.tokens is None for each in found)


def test_a_token_budget_that_the_longest_row_exceeds_is_not_tried() -> None:
    lengths = np.arange(10, 1500, 10)
    assert {each.tokens for each in batchings_for(lengths)} == {None, 2048, 4096}
    assert Batching(256, 2048) in batchings_for(lengths)


def test_runtimes_that_are_not_installed_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"onnxruntime"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in there else None)
    assert installed_runtimes("onnx") == ("onnxruntime:CPUExecutionProvider",)
    there.clear()
    with pytest.raises(InputError, match="nothing that runs onnx is installed; install onnxruntime or openvino"):
        installed_runtimes("onnx")
    there.add("openvino")
    assert installed_runtimes("onnx") == installed_runtimes("openvino") == ("openvino:CPU",)


def test_a_format_that_nothing_runs_is_named() -> None:
    with pytest.raises(InputError, match="no runtime takes the format `tensorflow`"):
        installed_runtimes("tensorflow")


def test_the_runtime_that_an_artifact_is_made_for_is_its_own() -> None:
    assert installed_runtimes("torch", "torch:cuda") == ("torch:cuda", "torch")
    assert installed_runtimes("torch", "torch") == ("torch",)
    assert default_settings(("torch:cuda", "torch"), 8) == Settings("torch:cuda", 8, 1)
