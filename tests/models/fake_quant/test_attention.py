"""The two products of each attention are rounded, however the attention is written."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hfcompress.errors import InputError
from hfcompress.models.fake_quant import calibrate_, insert_fake_quant_
from hfcompress.models.fake_quant.attention import attentions
from tests.models.conftest import inputs, make, outputs
from tests.models.fake_quant.rounding import MinMax, rounded, scheme

NAMES = ("query", "key", "probabilities", "value")


@pytest.mark.parametrize("family", ["bert", "distilbert", "vit", "mpnet", "dinov2"])
def test_every_attention_gets_four_scales_and_answers_change_a_little(family: str) -> None:
    without, model = rounded(family), rounded(family, products=True)
    assert len(attentions(model)) == 4
    for products in attentions(model).values():
        assert all(getattr(products, name).scale.detach().item() != 1 for name in NAMES)
    plain = outputs(make(family))
    assert 0 < (outputs(model) - outputs(without)).abs().max() < 0.3 * plain.std()


@pytest.mark.parametrize("family", ["bert", "distilbert", "vit"])
def test_eager_attention_and_pytorchs_own_round_the_same(family: str) -> None:
    found = [
        rounded(family, products=True, config={"attn_implementation": implementation})
        for implementation in ("eager", "sdpa")
    ]
    # Scaled before the product in one and after it in the other, so that the scales of queries may differ.
    torch.testing.assert_close(outputs(found[0]), outputs(found[1]), rtol=0, atol=0.03)


def test_an_attention_is_the_formula_with_its_factors_rounded() -> None:
    model = rounded("bert", products=True, config={"attn_implementation": "eager"})
    attention = model.bert.encoder.layer[0].attention.self
    hidden = torch.randn(2, 5, 32)
    with torch.inference_mode():
        found = attention(hidden)[0]
        heads = [
            module(hidden).view(2, 5, 2, 16).transpose(1, 2)
            for module in (attention.query, attention.key, attention.value)
        ]
        products: Any = attention.attention_products
        scores = products.query(heads[0]) @ products.key(heads[1]).transpose(-1, -2) / 4
        mixed = products.probabilities(scores.softmax(-1)) @ products.value(heads[2])
    torch.testing.assert_close(found, mixed.transpose(1, 2).reshape(2, 5, 32), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["albert", "convnext", "modernbert", "resnet", "swin"])
def test_a_family_whose_attention_has_no_place_for_it_is_refused_by_name(family: str) -> None:
    with pytest.raises(InputError, match=rf"and {family} has none of its own .*set `attention_products: false`"):
        insert_fake_quant_(make(family), scheme(products=True))


def test_an_attention_of_other_products_is_refused_by_its_class() -> None:
    insert_fake_quant_(model := make("deberta-v2"), scheme(products=True))
    with pytest.raises(InputError, match="DisentangledSelfAttention does not compute its attention as one product"):
        calibrate_(model, [inputs(model)], MinMax)
