"""Insertion: which layers become their twins, which stay, and which are refused by name."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from hfcompress.errors import InputError
from hfcompress.models.fake_quant import (
    fake_quant_parameters,
    freeze_observers_,
    insert_fake_quant_,
    is_fake_quantized,
)
from hfcompress.models.fake_quant.insert import quantizers, twins
from tests.models.conftest import FAMILIES, inputs, make, outputs
from tests.models.fake_quant.rounding import rounded, scheme

FOUR = ("bert", "distilbert", "vit", "resnet")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_linear_convolution_and_embedding_is_turned_and_quantizers_begin_switched_off(family: str) -> None:
    model = make(family)
    expected = {
        name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding)
    }
    before, weights = outputs(model), set(model.state_dict())
    names = insert_fake_quant_(model, scheme())
    assert set(names) == expected
    assert torch.equal(outputs(model), before)
    added = set(model.state_dict()) - weights
    assert weights <= set(model.state_dict()), "a checkpoint of the plain model still fits"
    assert {name.rpartition(".")[2] for name in added} == {"scale", "zero_point"}
    assert is_fake_quantized(model)


@pytest.mark.parametrize("family", FOUR)
@pytest.mark.parametrize("learned", [True, False])
def test_a_fake_quantized_model_answers_nearly_as_before_and_every_parameter_learns(family: str, learned: bool) -> None:
    plain, model = outputs(make(family)), rounded(family, learned=learned)
    apart = (outputs(model) - plain).abs()
    assert 0 < apart.max() < 0.2 * plain.std()
    model.train()
    model(**inputs(model)).logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    names = set(fake_quant_parameters(model))
    assert names == ({name for name, _ in model.named_parameters() if name.endswith(".scale")} if learned else set())
    assert bool(names) == learned


def test_scales_that_are_frozen_stay_while_weights_learn() -> None:
    for learned in (True, False):
        model = rounded("bert", learned=learned).train()
        freeze_observers_(model)
        scales = {name: tensor.clone() for name, tensor in model.state_dict().items() if name.endswith(".scale")}
        model(**inputs(model)).logits.square().sum().backward()
        torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.1).step()
        model(**inputs(model))
        assert all(torch.equal(model.state_dict()[name], scale) for name, scale in scales.items())


def test_skip_takes_names_patterns_and_what_is_below_a_name() -> None:
    layers = {"classifier", "bert.encoder.layer.0.output.dense", "bert.pooler.dense"}
    skip = ["classifier", "bert.encoder.layer.[0]*", "bert.pooler"]
    names = insert_fake_quant_(model := make("bert"), scheme(), skip)
    assert not layers & set(names)
    assert not [name for name in names if name.startswith("bert.encoder.layer.0.")]
    assert type(model.get_submodule("classifier")) is nn.Linear
    assert "bert.encoder.layer.1.output.dense" in names


def test_a_pattern_that_fits_nothing_is_refused_with_what_is_near() -> None:
    with pytest.raises(InputError, match=r"skip names 'clasifier', which no layer is called; there are classifier"):
        insert_fake_quant_(make("bert"), scheme(), ["clasifier"])


def test_a_model_is_not_fake_quantized_twice_nor_left_without_a_layer() -> None:
    with pytest.raises(InputError, match="fake-quantized already"):
        insert_fake_quant_(rounded("bert"), scheme())
    with pytest.raises(InputError, match=r"no layer is left outside skip \('\*',\)"):
        insert_fake_quant_(make("bert"), scheme(), ["*"])


class Mixed(nn.Module):
    def __init__(self, odd: nn.Module) -> None:
        super().__init__()
        self.plain, self.odd, self.norm = nn.Linear(4, 4), odd, nn.LayerNorm([2, 4])


class OwnLinear(nn.Linear):
    def forward(self, x: Any) -> Any:  # type: ignore[override]
        return super().forward(x) * 2


ODD = [
    nn.Conv1d(4, 4, 3),
    nn.ConvTranspose2d(4, 4, 3),
    nn.Bilinear(4, 4, 4),
    nn.MultiheadAttention(4, 2),
    nn.LSTM(4, 4),
    nn.EmbeddingBag(4, 4),
    OwnLinear(4, 4),
    transformers.pytorch_utils.Conv1D(4, 4),
]


@pytest.mark.parametrize("odd", ODD, ids=[type(odd).__name__ for odd in ODD])
def test_a_module_that_holds_a_weight_of_products_and_has_no_twin_is_named_with_the_way_out(odd: nn.Module) -> None:
    model, kind = Mixed(copy.deepcopy(odd)), type(odd).__name__
    with pytest.raises(InputError, match=rf"odd \({kind}\).*twins of Linear, Conv2d, Embedding.*`skip: \["):
        insert_fake_quant_(model, scheme())
    assert not is_fake_quantized(model), "nothing is turned before everything is known"
    assert insert_fake_quant_(model, scheme(), ["odd"]) == ("plain",)


def test_tied_weights_stay_tied() -> None:
    model = rounded("bert", head="ForMaskedLM")
    decoder, table = model.get_output_embeddings(), model.get_input_embeddings()
    assert decoder.weight is table.weight
    assert decoder in twins(model).values()
    assert table in twins(model).values()
    model.tie_weights()
    assert decoder.weight is table.weight


def test_a_copy_shares_nothing_and_answers_alike() -> None:
    model = rounded("bert")
    copied = copy.deepcopy(model)
    assert torch.equal(outputs(copied), outputs(model))
    mine = {id(each) for each in quantizers(model)}
    assert not mine & {id(each) for each in quantizers(copied)}
    query, key = (copied.get_submodule(f"bert.encoder.layer.0.attention.self.{name}") for name in ("query", "key"))
    assert key.input_quantizer.quantizer is query.input_quantizer
