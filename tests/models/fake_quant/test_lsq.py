"""Learned step size quantization: PyTorch's operators forward, the paper's formulas backward."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.models.fake_quant.lsq import SMALLEST_SCALE, gradient_scale, learned_step_size

RANGES = [(-128, 127), (-64, 63), (0, 255), (0, 127)]


def rounded(x: Any, scale: Any, zero_point: Any, limits: tuple[int, int], factor: float = 1.0) -> torch.Tensor:
    return learned_step_size(x, scale, torch.tensor(zero_point, dtype=torch.int32), *limits, factor)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-10000, 10000, width=32), min_size=1, max_size=30),
    st.floats(2**-20, 1024, width=32),
    st.sampled_from(RANGES),
    st.data(),
)
def test_forward_is_pytorchs_operator_bit_for_bit(
    values: list[float], scale: float, limits: tuple[int, int], data: st.DataObject
) -> None:
    zero_point = data.draw(st.integers(*limits))
    x, step = torch.tensor(values), torch.tensor([scale])
    expected = torch.fake_quantize_per_tensor_affine(x, step, torch.tensor([zero_point], dtype=torch.int32), *limits)
    assert torch.equal(rounded(x, step, [zero_point], limits), expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 2**31), st.sampled_from(RANGES))
def test_forward_of_channels_is_pytorchs_operator_bit_for_bit(
    channels: int, width: int, seed: int, limits: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=(channels, width, 2)), dtype=torch.float32)
    scale = torch.tensor(rng.uniform(1e-3, 0.1, channels), dtype=torch.float32)
    zero = torch.tensor(rng.integers(*limits, channels), dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(x, scale, zero, 0, *limits)
    assert torch.equal(learned_step_size(x, scale, zero, *limits), expected)


def by_the_paper(x: float, scale: float, zero: int, limits: tuple[int, int]) -> tuple[float, float]:
    """Gradients of one rounded value for x and for the scale: Esser et al. 2020, equations 5 and 3."""
    low, high, v = limits[0] - zero, limits[1] - zero, x / scale
    if v <= low:
        return 0.0, float(low)
    if v >= high:
        return 0.0, float(high)
    return 1.0, round(v) - v


@pytest.mark.parametrize("limits", RANGES)
@pytest.mark.parametrize("per_channel", [False, True])
def test_gradients_are_those_of_the_paper_in_a_loop_of_float64(limits: tuple[int, int], per_channel: bool) -> None:
    rng = np.random.default_rng(3)
    scales, zeros = ([0.04, 0.01, 0.2], [limits[0], 5, 60]) if per_channel else ([0.04], [9])
    x = torch.tensor(rng.normal(scale=4, size=(3, 50)), dtype=torch.float32, requires_grad=True)
    step = torch.tensor(scales, requires_grad=True)
    upstream = rng.normal(size=(3, 50))
    rounded(x, step, zeros, limits, 0.25).backward(torch.tensor(upstream, dtype=torch.float32))
    expected_x, expected_step = np.zeros((3, 50)), np.zeros(len(scales))
    for row, column in np.ndindex(3, 50):
        channel = row if per_channel else 0
        scale = float(np.float32(scales[channel]))
        for_x, for_scale = by_the_paper(float(x.detach()[row, column]), scale, zeros[channel], limits)
        expected_x[row, column] = for_x * upstream[row, column]
        expected_step[channel] += 0.25 * for_scale * upstream[row, column]
    assert x.grad is not None
    assert step.grad is not None
    np.testing.assert_allclose(x.grad, expected_x, rtol=1e-6)
    np.testing.assert_allclose(step.grad, expected_step, rtol=1e-4)
    assert (expected_x == 0).any(), "some values lie outside"


@pytest.mark.parametrize("limits", RANGES)
def test_gradients_are_slopes_when_what_rounding_adds_is_held_still(limits: tuple[int, int]) -> None:
    """The straight-through estimator is exact for x -> scale * (clip(x / scale) + r), with r = round - clip fixed."""
    rng = np.random.default_rng(4)
    zero, scale = 40, np.float64(np.float32(0.05))
    values = rng.normal(scale=3, size=200).astype(np.float32).astype(np.float64)
    low, high = limits[0] - zero, limits[1] - zero
    residual = np.rint(np.clip(values / scale, low, high)) - np.clip(values / scale, low, high)

    def surrogate(x: np.ndarray, s: float) -> np.ndarray:
        return s * (np.clip(x / s, low, high) + residual)

    step = torch.tensor([scale], dtype=torch.float32, requires_grad=True)
    x = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    rounded(x, step, [zero], limits).sum().backward()
    h = 1e-7
    slope = (surrogate(values, scale + h) - surrogate(values, scale - h)).sum() / (2 * h)
    assert step.grad is not None
    assert x.grad is not None
    assert step.grad.item() == pytest.approx(slope, rel=1e-4)
    np.testing.assert_allclose(
        x.grad, (surrogate(values + h, scale) - surrogate(values - h, scale)) / (2 * h), atol=1e-5
    )


def test_a_frozen_scale_gets_no_gradient_and_values_still_do() -> None:
    x, step = torch.tensor([0.3, 90.0], requires_grad=True), torch.tensor([0.5])
    rounded(x, step, [0], (-128, 127)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 0.0]
    assert step.grad is None


def test_a_scale_that_became_negative_counts_as_the_smallest_one_and_can_grow_again() -> None:
    step = torch.tensor([-0.5], requires_grad=True)
    loss = ((rounded(torch.ones(3), step, [0], (-128, 127)) - 1) ** 2).sum()
    assert loss.detach().item() == pytest.approx(3 * (1 - 127 * SMALLEST_SCALE) ** 2)
    loss.backward()
    assert step.grad is not None
    assert step.grad.item() < 0, "a step of the optimizer makes it larger"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_in_float32(dtype: torch.dtype) -> None:
    x = torch.linspace(-3, 9, 50).to(dtype).requires_grad_()
    step = torch.tensor([0.05], requires_grad=True)
    found = rounded(x, step, [100], (0, 255))
    expected = torch.fake_quantize_per_tensor_affine(x.detach().float(), 0.05, 100, 0, 255).to(dtype)
    assert torch.equal(found, expected)
    found.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype


def test_the_gradient_scale_is_that_of_section_2_2() -> None:
    assert gradient_scale(768 * 3072, 127) == 1 / math.sqrt(768 * 3072 * 127)
