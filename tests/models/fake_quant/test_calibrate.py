"""Calibration: ranges of what each layer is given, one scale for one tensor, and rows that cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hfcompress.calibration.padding import without_padding
from hfcompress.errors import InputError
from hfcompress.models.fake_quant import calibrate_, fold_batch_norm_, insert_fake_quant_
from hfcompress.models.fake_quant.insert import twins
from hfcompress.models.fake_quant.modules import Given, QuantConv2d, QuantEmbedding
from tests.models.conftest import inputs, make, outputs
from tests.models.fake_quant.rounding import MinMax, rounded, scheme


def inputs_of_layers(model: Any, batches: list[dict[str, torch.Tensor]]) -> dict[str, list[np.ndarray]]:
    """What every Linear and Conv2d of a plain model is given, but for padding."""
    given: dict[str, list[np.ndarray]] = {}
    mask: np.ndarray | None = None

    def remember(name: str) -> Any:
        return lambda module, args: given.setdefault(name, []).append(without_padding(args[0].numpy(), mask).copy())

    hooks = [
        module.register_forward_pre_hook(remember(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ]
    with torch.inference_mode():
        for batch in batches:
            mask = batch["attention_mask"].numpy() if "attention_mask" in batch else None
            model(**batch)
    for hook in hooks:
        hook.remove()
    return given


@pytest.mark.parametrize("family", ["bert", "vit"])
def test_scales_are_those_of_the_ranges_in_floating_point(family: str) -> None:
    plain, model = make(family), make(family)
    batch = inputs(plain)
    batches = [{name: tensor[rows] for name, tensor in batch.items()} for rows in (slice(0, 2), slice(2, 3))]
    insert_fake_quant_(model, scheme())
    calibrate_(model, batches, MinMax)
    for name, seen in inputs_of_layers(plain, batches).items():
        quantizer = twins(model)[name].input_quantizer
        quantizer = quantizer.quantizer if isinstance(quantizer, Given) else quantizer
        low, high = min(0.0, *(x.min() for x in seen)), max(0.0, *(x.max() for x in seen))
        assert quantizer.scale.detach().item() == pytest.approx((high - low) / 255, rel=1e-5), name
        assert quantizer.zero_point.item() == pytest.approx(-low / quantizer.scale.detach().item(), abs=0.51), name
    for name, twin in twins(model).items():
        weight = plain.get_submodule(name).weight.detach()
        largest = weight.abs().max() if isinstance(twin, QuantEmbedding) else weight.flatten(1).abs().amax(1)
        torch.testing.assert_close(twin.weight_quantizer.scale.detach(), (largest / 127).view(-1), rtol=1e-5, atol=0)


def test_query_key_and_value_are_computed_from_one_rounding() -> None:
    model = rounded("bert")
    attention = model.bert.encoder.layer[1].attention.self
    assert not isinstance(attention.query.input_quantizer, Given)
    for given in (attention.key.input_quantizer, attention.value.input_quantizer):
        assert isinstance(given, Given)
        assert given.quantizer is attention.query.input_quantizer
    names = [name for name, _ in model.named_parameters() if "layer.1.attention.self" in name and "input_quant" in name]
    assert names == ["bert.encoder.layer.1.attention.self.query.input_quantizer.scale"]


def test_what_a_convolution_rounded_is_not_rounded_again_and_relu_is_done_before() -> None:
    model = rounded("resnet")
    first, second = (layer.convolution for layer in model.resnet.encoder.stages[0].layers[1].layer)
    assert isinstance(first, QuantConv2d)
    assert isinstance(first.activation, nn.ReLU)
    assert isinstance(second.input_quantizer, Given)
    assert second.input_quantizer.quantizer is first.output_quantizer
    assert not second.input_quantizer.again
    # The second one's output goes into a sum, and the ReLU behind the sum is none of its business.
    assert isinstance(second.activation, nn.Identity)
    assert first.output_quantizer.zero_point.item() == 0, "after a ReLU there is nothing below zero"


def test_links_change_no_answer_in_floating_point() -> None:
    for family in ("resnet", "bert", "convnext", "swin"):
        model = make(family)
        fold_batch_norm_(model)
        before = outputs(model)
        insert_fake_quant_(model, scheme())
        calibrate_(model, [inputs(model)], MinMax)
        for module in model.modules():
            if hasattr(module, "phase"):
                module.phase = "off"
        assert torch.equal(outputs(model), before), family


def test_no_rows_are_an_error() -> None:
    insert_fake_quant_(model := make("bert"), scheme())
    with pytest.raises(InputError, match="no rows to calibrate on"):
        calibrate_(model, [], MinMax)


def test_rows_that_give_nan_are_an_error_that_names_the_layer() -> None:
    insert_fake_quant_(model := make("vit"), scheme())
    batch = inputs(model)
    batch["pixel_values"][1, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match=r"values of vit\.embeddings\.patch_embeddings\.projection\.\w+ hold NaN"):
        calibrate_(model, [batch], MinMax)


def test_a_layer_that_no_row_goes_through_is_named() -> None:
    model = make("bert")
    model.unused = nn.Linear(3, 3)
    insert_fake_quant_(model, scheme())
    with pytest.raises(InputError, match=r"no calibration row went through unused, .*`skip: \[unused\]`"):
        calibrate_(model, [inputs(model)], MinMax)


def test_a_model_keeps_its_mode() -> None:
    insert_fake_quant_(model := make("bert"), scheme())
    calibrate_(model.train(), [inputs(model)], MinMax)
    assert all(module.training for module in model.modules())
