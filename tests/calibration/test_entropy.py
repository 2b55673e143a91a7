"""The entropy threshold, against a plain loop over levels and against ONNX Runtime's."""

from __future__ import annotations

import numpy as np
import pytest

from hfcompress.calibration.entropy import LEVELS, divergences, entropy_threshold
from hfcompress.calibration.histogram import Histogram


def divergence_by_loop(counts: np.ndarray, start: int, stop: int) -> float:
    """The definition, word by word: build P and Q, then sum P log(P / Q)."""
    p = counts[start:stop].astype(np.float64)
    q = np.zeros_like(p)
    p[0] += counts[:start].sum()
    p[-1] += counts[stop:].sum()
    size = stop - start
    for level in range(LEVELS):
        first, last = level * size // LEVELS, (level + 1) * size // LEVELS
        filled = p[first:last] > 0
        if filled.any():
            q[first:last][filled] = counts[start + first : start + last].sum() / filled.sum()
    p /= p.sum()
    if q.sum() == 0 or (q[p > 0] == 0).any():
        return float("inf")
    q /= q.sum()
    return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())


@pytest.mark.parametrize("filled", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_divergences_are_those_of_a_loop(filled: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.geometric(0.05, 900) * (rng.random(900) < filled)
    starts = np.append(rng.integers(0, 400, 40), 0)
    stops = np.append(starts[:40] + LEVELS + rng.integers(0, 244, 40), 900)
    wanted = [divergence_by_loop(counts, start, stop) for start, stop in zip(starts, stops, strict=True)]
    np.testing.assert_allclose(divergences(counts, starts, stops), wanted, rtol=1e-9, atol=1e-12)


def test_ranges_without_a_single_count_are_infinitely_far() -> None:
    counts = np.zeros(600, dtype=np.int64)
    counts[590] = 10
    found = divergences(counts, np.array([0, 0]), np.array([300, 600]))
    assert found[0] == np.inf
    assert found[1] == pytest.approx(0, abs=1e-12)


@pytest.mark.slow  # theirs loops over bins
@pytest.mark.parametrize("shape", ["normal", "laplace", "heavy tail"])
def test_the_threshold_is_near_that_of_onnx_runtime_on_the_same_counts(shape: str) -> None:
    # Not to a bin: where the bins are no multiple of the levels, theirs puts all that remain into the last level.
    calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
    rng = np.random.default_rng(3)
    draw = {"normal": rng.normal, "laplace": rng.laplace, "heavy tail": lambda size: rng.standard_t(4, size)}[shape]
    values = draw(size=400_000).astype(np.float32)
    histogram = Histogram()
    histogram.update(np.concatenate([values, -values]))
    counts = np.concatenate([histogram.counts[0][::-1], histogram.counts[1]])
    edges = (np.arange(len(counts) + 1) - len(counts) // 2) * np.float32(histogram.width)
    collector = calibrate.HistogramCollector("entropy", False, len(counts), LEVELS, 0, "same")
    _, theirs = collector.get_entropy_threshold((counts, edges, edges[0], edges[-1], edges[-1]), LEVELS)
    assert entropy_threshold(histogram) == pytest.approx(float(theirs), rel=0.05)


def test_values_of_one_sign_have_all_levels_for_themselves() -> None:
    """The divergence at each threshold is that over 256 levels of the positive axis alone."""
    histogram = Histogram()
    histogram.update(np.random.default_rng(0).exponential(size=20_000))
    counts = histogram.counts[1][: np.flatnonzero(histogram.counts[1])[-1] + 1]
    stops = np.arange(LEVELS, len(counts) + 1)
    losses = [divergence_by_loop(counts, 0, stop) for stop in stops[::16]]
    found = divergences(counts, np.zeros_like(stops), stops)
    np.testing.assert_allclose(found[::16], losses, rtol=1e-9)
    assert entropy_threshold(histogram) == stops[np.argmin(found)] * histogram.width


def test_zeros_take_no_part() -> None:
    values, histograms = np.random.default_rng(0).normal(size=5_000), (Histogram(), Histogram())
    histograms[0].update(values)
    histograms[1].update(np.append(values, np.zeros(50_000)))
    assert entropy_threshold(histograms[0]) == entropy_threshold(histograms[1])


def test_values_away_from_zero_are_not_clipped_to_the_smallest_of_them() -> None:
    values, histogram = np.random.default_rng(0).normal(0.7, 0.15, 2000).clip(0.17), Histogram()
    histogram.update(values)
    assert (values <= entropy_threshold(histogram)).mean() > 0.99
