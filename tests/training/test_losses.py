"""`soft_target_kl` against float64 references and its own definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr, softmax

from hfcompress.training.losses import soft_target_kl

logits = arrays(np.float64, (3, 5), elements=st.floats(-20, 20))
temperatures = st.floats(0.5, 20)


def reference(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    divergences = rel_entr(softmax(teacher / temperature, -1), softmax(student / temperature, -1)).sum(-1)
    return float(temperature**2 * divergences.mean())


@given(logits, logits, temperatures)
def test_it_agrees_with_scipy_in_float64(student: np.ndarray, teacher: np.ndarray, temperature: float) -> None:
    ours = soft_target_kl(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    assert ours.item() == pytest.approx(reference(student, teacher, temperature), rel=1e-9, abs=1e-9)


@given(logits, logits, temperatures)
def test_it_is_never_negative(student: np.ndarray, teacher: np.ndarray, temperature: float) -> None:
    assert soft_target_kl(torch.from_numpy(student), torch.from_numpy(teacher), temperature) >= -1e-9


@given(logits, arrays(np.float64, (3, 1), elements=st.floats(-20, 20)), temperatures)
def test_it_is_zero_for_logits_that_differ_by_a_shift(
    teacher: np.ndarray, shift: np.ndarray, temperature: float
) -> None:
    shifted = torch.from_numpy(teacher + shift)
    assert soft_target_kl(shifted, torch.from_numpy(teacher), temperature).item() == pytest.approx(0, abs=1e-9)


@given(logits, st.integers(0, 4), st.floats(0.5, 5), st.floats(0.5, 4))
def test_it_is_positive_for_any_other_difference(
    teacher: np.ndarray, place: int, difference: float, temperature: float
) -> None:
    # Away from saturation: a class of probability 1e-17 may change without anybody seeing it.
    teacher = teacher / 20
    student = teacher.copy()
    student[:, place] += difference
    assert soft_target_kl(torch.from_numpy(student), torch.from_numpy(teacher), temperature) > 1e-4


@given(logits, logits)
def test_at_high_temperature_it_is_half_the_mean_square_of_centred_logits(
    student: np.ndarray, teacher: np.ndarray
) -> None:
    difference = (student - student.mean(-1, keepdims=True)) - (teacher - teacher.mean(-1, keepdims=True))
    limit = (difference**2).sum(-1).mean() / (2 * student.shape[-1])
    ours = soft_target_kl(torch.from_numpy(student), torch.from_numpy(teacher), 1e5)
    assert ours.item() == pytest.approx(limit, rel=1e-2, abs=1e-4)


def test_its_gradient_is_that_of_its_value() -> None:
    torch.manual_seed(0)
    student = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: soft_target_kl(logits, teacher, 2.5), student)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(8, 50).to(dtype), torch.randn(8, 50).to(dtype)
    ours = soft_target_kl(student, teacher, 4.0)
    assert ours.dtype == torch.float32
    expected = reference(student.double().numpy(), teacher.double().numpy(), 4.0)
    assert ours.item() == pytest.approx(expected, rel=1e-4)


def test_rows_of_several_dimensions_count_alike() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    flat = soft_target_kl(student.reshape(6, 5), teacher.reshape(6, 5), 2.0)
    torch.testing.assert_close(soft_target_kl(student, teacher, 2.0), flat)
