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
    np.testing.assert_array_equal(channels.low, whole.min(axis=0))
    np.testing.assert_array_equal(channels.high, whole.max(axis=0))


def test_the_sample_holds_rows_that_came_and_no_more_than_asked_for() -> None:
    channels = Channels(sample=10)
    came = set()
    for batch in stream(9, 4):
        channels.update(batch)
        came |= {row.tobytes() for row in batch.reshape(-1, 5)}
        assert len(channels.rows) == min(10, len(came))
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
    expected = 600 * 8 / 40
    spread = np.sqrt(600 * 0.2 * 0.8)
    assert np.abs(counts - expected).max() < 4 * spread
    assert abs(counts[:10].sum() - counts[30:].sum()) < 4 * spread * np.sqrt(20)


def test_an_empty_batch_changes_nothing() -> None:
    channels = Channels()
    channels.update(np.empty((0, 4), dtype=np.float32))
    assert channels.low.size == 0
    assert len(channels.rows) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    rows = np.ones((2, 3), dtype=np.float32)
    rows[1, 2] = bad
    with pytest.raises(InputError, match="1 of 6 values are NaN or infinite"):
        Channels().update(rows)
