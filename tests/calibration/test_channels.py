"""Statistics of channels: exact extremes, an even sample, and bad rows refused."""

from __future__ import annotations

import numpy as np
import pytest

from hfcompress.calibration.channels import Channels
from hfcompress.errors import InputError


def stream(batches: int, rows: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((rows, 3, 5)).astype(np.float32) for _ in range(batches)]


def test_extremes_of_a_stream_are_those_of_all_rows_at_once() -> None:
    channels = Channels(sample=4)
    batches = stream(7, 6)
    for batch in batches:
        channels.update(batch)
    whole = np.concatenate([batch.reshape(-1, 5) for batch in batches])
    np.testing.assert_array_equal(channels.all.low, whole.min(axis=0))
    np.testing.assert_array_equal(channels.all.high, whole.max(axis=0))
    np.testing.assert_array_equal(channels.all.largest, np.abs(whole).max(axis=0))


def test_the_sample_had_no_part_in_the_extremes_of_the_half() -> None:
    """Row i has one channel that is 1 in it alone."""
    rows = np.eye(200, dtype=np.float32)
    channels = Channels(sample=200)
    for start in range(0, 200, 25):
        channels.update(rows[start : start + 25])
    half = channels.half.high == 1
    sampled = channels.rows.sum(axis=0) == 1
    np.testing.assert_array_equal(half, ~sampled)
    assert 70 < half.sum() < 130
    assert (channels.all.high == 1).all()


def test_the_sample_holds_rows_that_came_and_no_more_than_asked_for() -> None:
    channels = Channels(sample=10)
    came = set()
    for batch in stream(9, 8):
        channels.update(batch)
        came |= {row.tobytes() for row in batch.reshape(-1, 5)}
        assert len(channels.rows) <= 10
    kept = {row.tobytes() for row in channels.rows}
    assert len(kept) == 10, "no row twice"
    assert kept <= came


def test_every_row_is_as_likely_to_be_kept_early_or_late() -> None:
    counts = np.zeros(40)
    for seed in range(600):
        channels = Channels(sample=8, seed=seed)
        for start in range(0, 40, 10):
            channels.update(np.arange(start, start + 10, dtype=np.float32).reshape(10, 1))
        counts[channels.rows.astype(int).ravel()] += 1
    assert counts[0] == 0, "the first row always counts for the extremes"
    expected = 600 * 8 / 39
    spread = np.sqrt(expected)
    assert np.abs(counts[1:] - expected).max() < 4 * spread
    assert abs(counts[1:10].mean() - counts[30:].mean()) < 2 * spread


def test_one_row_leaves_nothing_to_judge_on() -> None:
    channels = Channels()
    channels.update(np.ones((1, 4), dtype=np.float32))
    assert channels.rows.shape == (0, 4)
    np.testing.assert_array_equal(channels.half.high, np.ones(4))


def test_an_empty_batch_changes_nothing() -> None:
    channels = Channels()
    channels.update(np.empty((0, 4), dtype=np.float32))
    assert channels.all.low.size == 0
    assert len(channels.rows) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    rows = np.ones((2, 3), dtype=np.float32)
    rows[1, 2] = bad
    with pytest.raises(InputError, match="1 of 6 values are NaN or infinite"):
        Channels().update(rows)
