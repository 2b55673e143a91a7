"""Ranges from a stream: what each method promises, against the values themselves and ONNX Runtime's collectors."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hfcompress.calibration.collectors import (
    EntropyCollector,
    MinMaxCollector,
    PercentileCollector,
    RangeCollector,
    make_collector,
)
from hfcompress.errors import InputError
from hfcompress.recipe.quantization import Calibration, CalibrationMethod

METHODS: tuple[CalibrationMethod, ...] = ("minmax", "entropy", "percentile")
Draw = Callable[[np.random.Generator, int], np.ndarray]
SHAPES: dict[str, Draw] = {
    "normal": lambda rng, size: rng.normal(1, 2, size),
    "laplace": lambda rng, size: rng.laplace(size=size),
    "heavy tail": lambda rng, size: rng.standard_t(3, size),
    "relu": lambda rng, size: np.maximum(rng.normal(size=size), 0),
    "short tail below": lambda rng, size: np.maximum(rng.normal(1, 3, size), -0.17),
    "negative": lambda rng, size: -rng.exponential(size=size),
}


def collect(make: Callable[[], RangeCollector], *batches: np.ndarray) -> tuple[float, float]:
    collector = make()
    for batch in batches:
        collector.update(batch)
    return collector.range()


def values_of(shape: str, size: int = 50_000) -> np.ndarray:
    return SHAPES[shape](np.random.default_rng(7), size).astype(np.float32)


def bin_width(values: np.ndarray) -> float:
    return float(2.0 ** np.frexp(np.abs(values).max())[1] / 4096)


@pytest.mark.parametrize("shape", SHAPES)
def test_minmax_is_the_smallest_and_largest_value_and_zero(shape: str) -> None:
    values = values_of(shape)
    assert collect(MinMaxCollector, *np.split(values, 10)) == (min(values.min(), 0), max(values.max(), 0))


@pytest.mark.parametrize("percentile", [60, 99, 99.9, 99.99, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_percentile_is_that_of_the_kept_values_to_one_bin(shape: str, percentile: float) -> None:
    values = values_of(shape)
    low, high = collect(lambda: PercentileCollector(percentile), *np.split(values, 10))
    sizes = np.abs(values)
    exact = float(np.percentile(sizes, percentile, method="inverted_cdf"))
    assert max(-low, high) == pytest.approx(exact, abs=bin_width(values))
    assert (sizes <= max(-low, high)).mean() >= percentile / 100 - 1e-12
    assert values.min() <= low or low == 0
    assert high <= values.max() or high == 0


@pytest.mark.parametrize("percentile", [99, 99.9])
@pytest.mark.parametrize("shape", ["normal", "laplace", "heavy tail"])
def test_a_percentile_is_that_of_onnx_runtime_to_one_bin_of_either(shape: str, percentile: float) -> None:
    calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
    values = values_of(shape, 49_990)  # of which no percentile asked for is a whole number of values
    theirs = calibrate.HistogramCollector("percentile", True, 2048, 128, percentile, "same")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs.collect({"x": [*np.split(values, 10)]})
        _, high, *_ = theirs.compute_collection_result()["x"]
    _, edges, *_ = theirs.get_histogram_dict()["x"]
    ours = max(map(abs, collect(lambda: PercentileCollector(percentile), values)))
    assert ours == pytest.approx(float(high), abs=bin_width(values) + float(edges[1] - edges[0]))


def test_where_nearly_all_values_are_zero_a_percentile_clips_nothing() -> None:
    values = np.zeros(1000, dtype=np.float32)
    values[:2] = -1, 3
    assert collect(lambda: PercentileCollector(99), values) == (-1, 3)


@pytest.mark.parametrize("shape", SHAPES)
def test_entropy_clips_within_the_extremes_and_keeps_nearly_all_values(shape: str) -> None:
    values = values_of(shape)
    low, high = collect(EntropyCollector, values)
    assert min(values.min(), 0) <= low <= 0 <= high <= max(values.max(), 0)
    assert ((low <= values) & (values <= high)).mean() > 0.98


def test_entropy_clips_one_far_outlier_and_minmax_does_not() -> None:
    values = np.append(values_of("normal"), np.float32(100))
    assert collect(EntropyCollector, values)[1] < 20
    assert collect(MinMaxCollector, values)[1] == 100


FLOATS = st.floats(-1e6, 1e6, width=32, allow_subnormal=True)


@given(
    values=arrays.arrays(np.float32, st.integers(1, 60), elements=FLOATS),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    seed=st.integers(0, 5),
)
@settings(max_examples=25, deadline=None)
def test_batches_and_their_order_change_nothing(values: np.ndarray, cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    batches = np.split(rng.permutation(values), sorted(cut for cut in cuts if cut < len(values)))
    for method in METHODS:
        make = make_collector(Calibration(method=method))
        assert collect(make, *batches) == collect(make, values)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 3.3, -2.0, 1e-42, 1e38])
def test_a_constant_tensor_has_a_range_that_holds_it_and_zero(method: CalibrationMethod, value: float) -> None:
    low, high = collect(make_collector(Calibration(method=method)), np.full((2, 3), value, dtype=np.float32))
    assert low <= min(value, 0)
    assert high >= np.float32(max(value, 0))
    assert np.float32((high - low) / 255) >= np.finfo(np.float32).tiny
    if abs(value) > 1e-30:
        assert high - low == pytest.approx(abs(value))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(method: CalibrationMethod, bad: float) -> None:
    collector = make_collector(Calibration(method=method))()
    with pytest.raises(InputError, match="2 of 6 values are NaN or infinite"):
        collector.update(np.array([[1, bad, 3], [bad, 5, 6]], dtype=np.float32))


@pytest.mark.parametrize("method", METHODS)
def test_a_stream_without_a_value_has_no_range(method: CalibrationMethod) -> None:
    collector = make_collector(Calibration(method=method))()
    collector.update(np.empty((0, 4), dtype=np.float32))
    with pytest.raises(InputError, match="no values came"):
        collector.range()


def test_the_percentile_is_the_recipes() -> None:
    values = values_of("normal")
    ranges = [collect(make_collector(Calibration(method="percentile", percentile=p)), values) for p in (60, 99)]
    assert ranges[0] == collect(lambda: PercentileCollector(60), values)
    assert ranges[0][1] < ranges[1][1]
