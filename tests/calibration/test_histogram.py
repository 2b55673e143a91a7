"""The streaming histogram: exact counts, whatever comes first."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hfcompress.calibration.histogram import BINS, Histogram


def histogram_of(*batches: np.ndarray) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.update(batch)
    return histogram


@given(
    values=arrays.arrays(
        np.float32, st.integers(1, 50), elements=st.floats(allow_nan=False, allow_infinity=False, width=32)
    ),
    cut=st.integers(0, 50),
)
@settings(max_examples=100, deadline=None)
def test_counts_are_those_of_a_loop_over_the_values(values: np.ndarray, cut: int) -> None:
    found = histogram_of(values[:cut], values[cut:])
    wanted, zeros = np.zeros((2, BINS), dtype=np.int64), 0
    for value in values.astype(np.float64):
        if value == 0:
            zeros += 1
        else:
            wanted[int(value > 0), int(np.floor(abs(value) / found.width))] += 1
    np.testing.assert_array_equal(found.counts, wanted)
    assert found.zeros == zeros


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-7, 1.0, 3e4])
def test_the_largest_value_is_in_the_upper_half_of_the_bins(dtype: type, scale: float) -> None:
    values = (np.random.default_rng(0).uniform(-1, 1, 1000) * scale).astype(dtype)
    counts = histogram_of(values).counts.sum(axis=0)
    assert BINS // 2 <= np.flatnonzero(counts)[-1] < BINS
    exact = np.histogram(np.abs(values.astype(np.float64)), BINS, range=(0, histogram_of(values).width * BINS))[0]
    exact[0] -= histogram_of(values).zeros
    np.testing.assert_array_equal(counts, exact)


def test_a_stream_of_growing_values_costs_the_memory_of_one_batch() -> None:
    rng, histogram = np.random.default_rng(0), Histogram()

    def peak(batches: int) -> int:
        tracemalloc.reset_peak()
        for step in range(batches):
            histogram.update(rng.normal(0, 1.5**step, 20_000).astype(np.float32))
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        few, many = peak(4), peak(60)
    finally:
        tracemalloc.stop()
    assert many < 1.1 * few
    assert histogram.counts.sum() + histogram.zeros == 64 * 20_000
