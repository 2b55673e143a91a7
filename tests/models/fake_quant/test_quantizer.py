"""Quantizers: which integers represent a range, and when a scale moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.models.fake_quant import TensorScheme
from hfcompress.models.fake_quant.quantizer import ActivationQuantizer, WeightQuantizer
from tests.models.fake_quant.rounding import ACTIVATIONS, WEIGHTS

SCHEMES = [
    ACTIVATIONS,
    WEIGHTS,
    TensorScheme(True, True, False, bits=7),
    TensorScheme(False, False, False, bits=7),
    TensorScheme(False, True, False),
    TensorScheme(True, False, False),
]


def quantizer(scheme: TensorScheme = ACTIVATIONS, *, learned: bool = True) -> ActivationQuantizer:
    made = ActivationQuantizer(scheme, learned)
    made.phase = "quantizing"
    return made


@pytest.mark.parametrize(
    "scheme, trained, exported",
    [
        (TensorScheme(True, True, True), (-128, 127), (-128, 127)),
        (TensorScheme(True, True, True, bits=7), (-64, 63), (-128, 127)),
        (TensorScheme(False, False, False), (0, 255), (0, 255)),
        (TensorScheme(False, False, False, bits=7), (0, 127), (0, 127)),
    ],
)
def test_a_scheme_names_integers_and_the_range_that_export_takes(
    scheme: TensorScheme, trained: tuple[int, int], exported: tuple[int, int]
) -> None:
    assert (scheme.quant_min, scheme.quant_max) == trained
    assert scheme.exported_range == exported


@settings(deadline=None, max_examples=60)
@given(st.floats(-100, 100, width=32), st.floats(-100, 100, width=32), st.sampled_from(SCHEMES))
def test_a_range_is_represented_within_half_a_step_and_zero_exactly(
    one: float, other: float, scheme: TensorScheme
) -> None:
    low, high = sorted((one, other))
    made = quantizer(scheme)
    made.set_range_(torch.tensor([low]), torch.tensor([high]))
    ends = torch.tensor([[low, high, 0.0]])
    apart = (made(ends) - ends).abs()[0]
    # The zero point is a whole number, which may move an end by half a step.
    assert apart.max().item() <= made.scale.detach().item() * 1.001
    assert apart[2].item() == 0
    assert scheme.quant_min <= made.zero_point.item() <= scheme.quant_max
    assert not scheme.symmetric or made.zero_point.item() == (0 if scheme.signed else 128)


def test_seven_bits_use_half_as_many_integers() -> None:
    values = torch.linspace(-1, 1, 1000)
    for bits, steps in ((8, 255), (7, 127)):
        made = WeightQuantizer(TensorScheme(True, True, False, bits), 1, True)
        made.phase = "quantizing"
        made.set_range_of_(values)
        assert len(made(values).unique()) == steps


def test_a_weight_has_the_scale_of_its_largest_value_in_each_channel() -> None:
    weight = torch.tensor(np.random.default_rng(0).normal(size=(4, 3, 2, 2)), dtype=torch.float32)
    made = WeightQuantizer(WEIGHTS, 4, True)
    made.set_range_of_(weight)
    torch.testing.assert_close(made.scale.detach(), weight.abs().amax((1, 2, 3)) / 127, rtol=1e-6, atol=0)


def test_zeros_alone_stay_zeros() -> None:
    made = quantizer()
    made.set_range_(torch.tensor([0.0]), torch.tensor([0.0]))
    assert torch.equal(made(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_off_and_observing_pass_values_as_they_are() -> None:
    made, x = ActivationQuantizer(ACTIVATIONS, True), torch.randn(3, 4)
    for phase in ("off", "observing"):
        made.phase = phase  # type: ignore[assignment]
        assert made(x) is x


def test_a_moving_average_goes_a_hundredth_of_the_way_to_each_range_in_training_alone() -> None:
    made = quantizer(learned=False)
    made.set_range_(torch.tensor([-1.0]), torch.tensor([1.0]))
    batch = torch.tensor([[-3.0, 5.0]])
    made.eval()
    made(batch)
    assert (made.low.item(), made.high.item()) == (-1.0, 1.0)
    made.train()
    made(batch)
    assert made.low.item() == pytest.approx(-1 + 0.01 * (-3 + 1))
    assert made.high.item() == pytest.approx(1 + 0.01 * (5 - 1))
    assert made.scale.detach().item() == pytest.approx((made.high.item() - made.low.item()) / 255)
    made.freeze_()
    before = made.state_dict()
    made(batch)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())


def test_a_weight_that_follows_keeps_the_scale_of_its_newest_values() -> None:
    made, weight = WeightQuantizer(WEIGHTS, 2, False), torch.tensor([[1.0, -2.0], [0.5, 0.25]])
    made.phase = "quantizing"
    made(weight)
    made(weight * 3)
    torch.testing.assert_close(made.scale, torch.tensor([6.0, 1.5]) / 127)


def test_a_frozen_scale_is_no_longer_trained() -> None:
    made = quantizer()
    made(torch.randn(2, 3)).sum().backward()
    assert made.scale.grad is not None
    made.freeze_()
    assert made.scale.grad is None
    assert not made.scale.requires_grad
