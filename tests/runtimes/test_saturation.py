"""The product of a CPU without VNNI, against a loop over integers and against the instruction's own definition."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.host import describe_host
from hfcompress.runtimes.simulated import saturation
from hfcompress.runtimes.simulated.saturation import can_saturate, exact_matmul, saturating_matmul

ACTIVATIONS = st.sampled_from([0, 1, 127, 128, 200, 254, 255]) | st.integers(0, 255)
WEIGHTS = st.sampled_from([-128, -127, -65, -64, 0, 63, 64, 65, 127]) | st.integers(-128, 127)

#: One row times one column with the three instructions of ONNX Runtime's AVX2 kernel; the depth is a multiple of 32.
INSTRUCTIONS = """
#include <immintrin.h>
int row(const unsigned char *a, const signed char *b, int depth) {
    __m256i sum = _mm256_setzero_si256();
    for (int k = 0; k < depth; k += 32) {
        __m256i left = _mm256_loadu_si256((const __m256i *)(a + k));
        __m256i right = _mm256_loadu_si256((const __m256i *)(b + k));
        __m256i pairs = _mm256_maddubs_epi16(left, right);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    int lanes[8], total = 0;
    _mm256_storeu_si256((__m256i *)lanes, sum);
    for (int lane = 0; lane < 8; lane++) total += lanes[lane];
    return total;
}
"""


def reference(activations: np.ndarray, weights: np.ndarray, *, saturate: bool = True) -> list[list[int]]:
    """The loop of the kernel, in Python's integers."""
    rows, depth, columns = len(activations), len(weights), weights.shape[1]
    answer = [[0] * columns for _ in range(rows)]
    for row in range(rows):
        for column in range(columns):
            for k in range(0, depth, 2):
                pair = sum(int(activations[row, i]) * int(weights[i, column]) for i in range(k, min(k + 2, depth)))
                answer[row][column] += max(-32768, min(32767, pair)) if saturate else pair
    return answer


@st.composite
def factors(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, depth, columns = (draw(st.integers(1, most)) for most in (3, 9, 4))
    activations = draw(st.lists(ACTIVATIONS, min_size=rows * depth, max_size=rows * depth))
    weights = draw(st.lists(WEIGHTS, min_size=depth * columns, max_size=depth * columns))
    return (
        np.array(activations, dtype=np.uint8).reshape(rows, depth),
        np.array(weights, dtype=np.int8).reshape(depth, columns),
    )


@settings(deadline=None)  # the first product imports torch
@given(factors())
def test_the_product_equals_the_loop_bit_for_bit(pair: tuple[np.ndarray, np.ndarray]) -> None:
    product = saturating_matmul(*pair)
    assert product.dtype == np.int32
    assert product.tolist() == reference(*pair)
    assert exact_matmul(*pair).tolist() == reference(*pair, saturate=False)


@pytest.mark.parametrize("depth", [1, 2, 3, 31, 64, 97])
def test_the_product_of_the_worst_factors_equals_the_loop(depth: int) -> None:
    rng = np.random.default_rng(depth)
    activations = rng.choice([0, 254, 255], size=(5, depth)).astype(np.uint8)
    weights = rng.choice([-128, -127, 127], size=(depth, 7)).astype(np.int8)
    assert saturating_matmul(activations, weights).tolist() == reference(activations, weights)
    if depth > 3:
        assert (saturating_matmul(activations, weights) != exact_matmul(activations, weights)).any()


@pytest.mark.skipif(
    shutil.which("cc") is None or not describe_host().flags.get("avx2"), reason="needs a C compiler and AVX2"
)
def test_the_product_equals_the_instructions_own(tmp_path: Path) -> None:
    source, library = tmp_path / "row.c", tmp_path / "row.so"
    source.write_text(INSTRUCTIONS)
    subprocess.run(["cc", "-mavx2", "-shared", "-fPIC", "-o", library, source], check=True)
    row = ctypes.CDLL(str(library)).row
    row.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    rng = np.random.default_rng(0)
    activations = rng.choice([0, 100, 200, 255], size=(4, 96)).astype(np.uint8)
    weights = rng.choice([-128, -90, 40, 127], size=(96, 5)).astype(np.int8)
    columns = np.ascontiguousarray(weights.T)
    found = [[row(line.ctypes.data, column.ctypes.data, 96) for column in columns] for line in activations]
    assert saturating_matmul(activations, weights).tolist() == found
    assert exact_matmul(activations, weights).tolist() != found


def test_neighbours_are_the_elements_2i_and_2i_plus_1() -> None:
    weights = np.array([[0], [127], [127], [0]], dtype=np.int8)
    activations = np.full((1, 4), 255, dtype=np.uint8)
    assert saturating_matmul(activations, weights).item() == 2 * 255 * 127, "127 and 127 are in different pairs"
    assert saturating_matmul(activations, np.roll(weights, 1)).item() == 32767


def test_the_last_element_of_an_odd_depth_is_alone() -> None:
    weights = np.full((3, 1), 127, dtype=np.int8)
    activations = np.full((1, 3), 255, dtype=np.uint8)
    assert saturating_matmul(activations, weights).item() == 32767 + 255 * 127


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_memory_is_bounded_by_chunks_that_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    rng = np.random.default_rng(0)
    activations = rng.integers(0, 256, (6, 33)).astype(np.uint8)
    weights = rng.integers(-128, 128, (33, 9)).astype(np.int8)
    whole = saturating_matmul(activations, weights)
    monkeypatch.setattr(saturation, "_CHUNK", chunk)
    np.testing.assert_array_equal(saturating_matmul(activations, weights), whole)


def test_a_pair_can_saturate_exactly_when_some_activations_make_it() -> None:
    """All pairs of weights; the extremes of a sum of products are where the activations are 0 or 255."""
    weights = np.arange(-128, 128)
    first, second = (side.ravel() for side in np.meshgrid(weights, weights))
    ends = [a * first + b * second for a in (0, 255) for b in (0, 255)]
    leaves = np.any([(end > 32767) | (end < -32768) for end in ends], axis=0)
    found = can_saturate(np.stack([first, second]).astype(np.int8))
    np.testing.assert_array_equal(found[0], leaves)
    assert 0 < leaves.mean() < 1


def test_weights_of_7_bits_and_a_single_last_weight_cannot_saturate() -> None:
    assert not can_saturate(np.random.default_rng(0).choice([-64, 64], (64, 5)).astype(np.int8)).any()
    assert not can_saturate(np.full((1, 3), -128, dtype=np.int8)).any()


def test_the_share_of_pairs_of_normal_weights_that_can_saturate_is_small() -> None:
    weights = np.random.default_rng(0).normal(size=(384, 384))
    quantized = np.round(weights / np.abs(weights).max(axis=0) * 127).astype(np.int8)
    assert 0 < can_saturate(quantized).mean() < 0.03
