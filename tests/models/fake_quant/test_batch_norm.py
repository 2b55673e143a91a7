"""Batch-norm folded into convolutions answers as in eval mode."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hfcompress.models.fake_quant import fold_batch_norm_
from hfcompress.models.fake_quant.batch_norm import FoldedBatchNorm
from tests.models.conftest import inputs, make, outputs


def used(model: Any, seed: int = 0) -> Any:
    """A model whose batch-norms have statistics, as if it had been trained."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 3)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model.eval()


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_a_resnet_without_batch_norm_answers_as_with_it(kind: str) -> None:
    model = used(make("resnet", layer_type=kind))
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    before = outputs(model)
    assert set(fold_batch_norm_(model)) == norms
    assert not [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    torch.testing.assert_close(outputs(model), before, rtol=1e-4, atol=1e-4 * before.std().item())


def test_one_folded_convolution_is_the_two_modules_in_float64() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # Defined in another order than they run, and with a bias: what counts is what is computed from what.
            self.norm, self.other, self.convolution = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.other(self.norm(self.convolution(x)).relu())

    model = used(Pair()).double()
    image = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    before = model(image)
    assert fold_batch_norm_(model, {"x": image}) == ("norm",)
    torch.testing.assert_close(model(image), before, rtol=1e-12, atol=1e-12)
    assert isinstance(model.norm, FoldedBatchNorm)
    assert model.norm.into == "convolution"


def test_a_batch_norm_that_does_not_follow_a_convolution_stays() -> None:
    class Before(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.convolution(self.norm(x))

    assert fold_batch_norm_(used(Before()), {"x": torch.randn(1, 4, 2, 2)}) == ()


def test_a_text_model_has_none() -> None:
    model = make("bert")
    assert fold_batch_norm_(model) == ()
    assert inputs(model)
