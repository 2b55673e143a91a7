"""Out of memory: fewer rows in each pass, the same rows in each step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.errors import SmallerBatchError, StageError
from hfcompress.training.memory import (
    SmallerBatch,
    halve_batch,
    is_out_of_memory,
    steps_down,
    with_smaller_batches,
)


@given(st.integers(2, 512), st.integers(1, 64))
def test_the_rows_of_a_step_stay_and_those_of_a_pass_are_at_most_half(batch: int, accumulation: int) -> None:
    smaller, passes = halve_batch(batch, accumulation)
    assert smaller * passes == batch * accumulation
    assert 1 <= smaller <= batch // 2
    # No larger number would do.
    assert all(batch * accumulation % size for size in range(smaller + 1, batch // 2 + 1))


def test_examples() -> None:
    assert halve_batch(32, 1) == (16, 2)
    assert halve_batch(15, 1) == (5, 3)
    assert halve_batch(7, 1) == (1, 7)
    with pytest.raises(StageError, match="out of memory with one row in each pass"):
        halve_batch(1, 8)


def test_what_torch_and_python_raise_is_known_and_other_errors_are_not() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)  # more than any machine has, so that the allocator says it itself
    assert is_out_of_memory(refused.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("DefaultCPUAllocator: can't allocate memory"))


class Device:
    """Trains as long as no more than `fits` rows come at once."""

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.tried: list[tuple[int, int]] = []

    def train(self, batch: int, accumulation: int) -> str:
        self.tried.append((batch, accumulation))
        if batch > self.fits:
            raise torch.OutOfMemoryError(f"{batch} rows")
        return "trained"


def test_one_process_tries_again_until_it_fits_and_a_later_run_begins_there(tmp_path: Path) -> None:
    device, told = Device(fits=5), []
    assert with_smaller_batches(device.train, 16, 2, tmp_path, told.append) == "trained"
    assert device.tried == [(16, 2), (8, 4), (4, 8)]
    assert told == steps_down(tmp_path) == [SmallerBatch(8, 4, ran_out_at=16), SmallerBatch(4, 8, ran_out_at=8)]

    later = Device(fits=3)
    assert with_smaller_batches(later.train, 16, 2, tmp_path, told.append) == "trained"
    assert later.tried == [(4, 8), (2, 16)]
    assert [step.ran_out_at for step in steps_down(tmp_path)] == [16, 8, 4]


def test_what_another_training_recorded_does_not_count(tmp_path: Path) -> None:
    with_smaller_batches(Device(fits=8).train, 16, 1, tmp_path, lambda step: None)
    other = Device(fits=64)
    with_smaller_batches(other.train, 16, 2, tmp_path, pytest.fail)
    assert other.tried == [(16, 2)]


def test_one_row_that_does_not_fit_is_the_end(tmp_path: Path) -> None:
    device = Device(fits=0)
    with pytest.raises(StageError, match="gradient_checkpointing"):
        with_smaller_batches(device.train, 4, 1, tmp_path, lambda step: None)
    assert device.tried == [(4, 1), (2, 2), (1, 4)]


def test_several_processes_end_and_begin_smaller(tmp_path: Path) -> None:
    with pytest.raises(SmallerBatchError, match="it goes on with 8, and 2 passes a step"):
        with_smaller_batches(Device(fits=8).train, 16, 1, tmp_path, pytest.fail, processes=2)
    again = Device(fits=8)
    assert with_smaller_batches(again.train, 16, 1, tmp_path, pytest.fail, processes=2) == "trained"
    assert again.tried == [(8, 2)]


def test_other_errors_pass(tmp_path: Path) -> None:
    def train(batch: int, accumulation: int) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        with_smaller_batches(train, 4, 1, tmp_path, pytest.fail)
    assert steps_down(tmp_path) == []


def test_the_tensors_of_the_failed_try_are_gone_before_the_next(tmp_path: Path) -> None:
    import weakref

    seen: list[weakref.ref[torch.Tensor]] = []

    def train(batch: int, accumulation: int) -> bool:
        if seen:
            return seen[0]() is None
        activations = torch.zeros(8)
        seen.append(weakref.ref(activations))
        raise torch.OutOfMemoryError

    assert with_smaller_batches(train, 4, 1, tmp_path, lambda step: None)
