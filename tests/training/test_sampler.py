"""The order of rows: a permutation that depends on seed, epoch and global batch, and on nothing else."""

from __future__ import annotations

import random
from itertools import chain

import numpy as np
import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler

from hfcompress.training.sampler import MEGABATCH, LengthGroupedSampler, ShuffledSampler, column_lengths

lengths = st.lists(st.integers(1, 512), min_size=1, max_size=300)
seeds = st.integers(0, 2**32 - 1)
epochs = st.integers(0, 50)


def order(sampler: ShuffledSampler, epoch: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


@given(lengths, st.integers(1, 16), seeds, epochs)
def test_every_epoch_is_a_permutation_of_the_rows(rows: list[int], batch: int, seed: int, epoch: int) -> None:
    for sampler in (LengthGroupedSampler(rows, batch, seed), ShuffledSampler(len(rows), seed)):
        assert sorted(order(sampler, epoch)) == list(range(len(rows)))
        assert len(sampler) == len(rows)


@given(lengths, seeds, epochs)
def test_the_order_depends_on_seed_and_epoch_only(rows: list[int], seed: int, epoch: int) -> None:
    first = order(LengthGroupedSampler(rows, 4, seed), epoch)
    # Whatever else happened to the generators of the process, and whichever epochs came before.
    torch.rand(7), np.random.rand(3), random.random()
    later = LengthGroupedSampler(rows, 4, seed)
    order(later, epoch + 1)
    assert order(later, epoch) == first


@given(seeds, epochs)
def test_epochs_and_seeds_have_orders_of_their_own(seed: int, epoch: int) -> None:
    rows = list(range(1, 101))
    for make in (lambda seed: LengthGroupedSampler(rows, 1, seed), lambda seed: ShuffledSampler(100, seed)):
        here = order(make(seed), epoch)
        assert here != order(make(seed), epoch + 1)
        # A sum of seed and epoch would make these two equal.
        assert order(make(seed + 1), epoch) != order(make(seed), epoch + 1)


@given(st.lists(st.integers(1, 512), min_size=16, max_size=300), seeds, st.sampled_from([1, 2, 4, 8]))
def test_every_global_batch_is_the_same_for_any_number_of_processes(rows: list[int], seed: int, world: int) -> None:
    rows = rows[: len(rows) // 16 * 16]
    one = BatchSampler(LengthGroupedSampler(rows, 16, seed), 16, drop_last=False)

    def shard(rank: int) -> list[list[int]]:
        batches = BatchSampler(LengthGroupedSampler(rows, 16, seed), 16 // world, drop_last=False)
        return list(BatchSamplerShard(batches, num_processes=world, process_index=rank))

    together = [list(chain.from_iterable(batches)) for batches in zip(*map(shard, range(world)), strict=True)]
    assert together == list(one)


@given(lengths, st.integers(1, 4), seeds)
def test_each_megabatch_is_sorted_longest_first(rows: list[int], batch: int, seed: int) -> None:
    sampler = LengthGroupedSampler(rows, batch, seed)
    ordered = [rows[index] for index in sampler]
    for start in range(0, len(rows), MEGABATCH * batch):
        block = ordered[start : start + MEGABATCH * batch]
        assert block == sorted(block, reverse=True)


def test_grouping_by_length_saves_most_of_the_padding() -> None:
    rows = np.random.default_rng(0).integers(1, 100, size=4000)

    def padded(sampler: ShuffledSampler) -> int:
        return sum(max(rows[batch]) * len(batch) for batch in BatchSampler(sampler, 16, drop_last=False))

    assert padded(LengthGroupedSampler(rows, 16, 0)) < 1.05 * rows.sum() < padded(ShuffledSampler(len(rows), 0))


def test_lengths_come_from_the_column_in_the_order_of_the_rows() -> None:
    rows = Dataset.from_dict({"length": [3, 1, 2], "text": ["a", "b", "c"]})
    assert column_lengths(rows, "length").tolist() == [3, 1, 2]
    assert column_lengths(rows.select([2, 0]), "length").tolist() == [2, 3]
    assert column_lengths(rows, "size") is None
    assert column_lengths([1, 2, 3], "length") is None
