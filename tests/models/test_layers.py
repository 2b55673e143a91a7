"""Where the layers of every family are: compared with what the model itself gives out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from hfcompress.errors import InputError
from hfcompress.models import layers as layers_module
from hfcompress.models.architectures import ARCHITECTURES, Architecture
from hfcompress.models.layers import architecture_of, layer_count, layer_paths, layers_of, projections_of, widths
from tests.models.conftest import CHOOSABLE, FAMILIES, inputs, make

#: Families with a list of layers and no stages.
FLAT = [name for name in CHOOSABLE if ARCHITECTURES[name].blocks is None]
STAGED = [name for name in CHOOSABLE if ARCHITECTURES[name].blocks is not None]
WITH_PROJECTIONS = [name for name in FAMILIES if ARCHITECTURES[name].projections]


def recorded(modules: list[nn.Module], model: Any, **asked: Any) -> tuple[list[torch.Tensor], Any]:
    """What modules give out in one forward pass, and what the model does."""
    seen: dict[nn.Module, torch.Tensor] = {}
    hooks = [
        module.register_forward_hook(
            lambda module, _, out: seen.update({module: out[0] if isinstance(out, tuple) else out})
        )
        for module in modules
    ]
    with torch.inference_mode():
        found = model(**inputs(model), **asked)
    for hook in hooks:
        hook.remove()
    return [seen[module] for module in modules], found


def test_every_family_is_tested() -> None:
    assert list(FAMILIES) == list(ARCHITECTURES)


@pytest.mark.parametrize("family", FLAT)
def test_layers_give_the_hidden_states(family: str) -> None:
    model = make(family)
    layers = layers_of(model)
    given, found = recorded(layers, model, output_hidden_states=True)
    assert len(layers) == layer_count(model.config) == 4
    # The last one may go through a norm before it is given out.
    for ours, theirs in zip(given[:-1], found.hidden_states[1:-1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("family", STAGED)
def test_blocks_are_those_of_all_stages_in_the_order_they_run(family: str) -> None:
    model = make(family)
    blocks = layers_of(model)
    assert len(blocks) == layer_count(model.config) == sum(model.config.depths)
    assert len({type(block) for block in blocks}) == 1
    ran: list[nn.Module] = []
    for block in blocks:
        block.register_forward_hook(lambda module, *_: ran.append(module))
    model(**inputs(model))
    assert ran == blocks


@pytest.mark.parametrize("head", [True, False], ids=["head", "bare"])
@pytest.mark.parametrize("family", CHOOSABLE)
def test_paths_name_the_layers_with_and_without_a_head(family: str, head: bool) -> None:
    model = make(family, head=head)
    names = {module: name for name, module in model.named_modules()}
    assert layer_paths(model) == [names[layer] for layer in layers_of(model)]


@pytest.mark.parametrize("family", WITH_PROJECTIONS)
def test_projections_give_the_attention_of_their_layer(family: str) -> None:
    """softmax(Q K^T / sqrt(d)) is the attention that the model gives out, and what leaves the heads is that times V."""
    model = make(family, head=False, attn_implementation="eager", relative_attention=False, pos_att_type=[])
    for name, weight in model.named_parameters():
        if "relative_attention_bias" in name:
            nn.init.zeros_(weight)  # MPNet's, which is no part of Q and K
    entered: list[torch.Tensor] = []
    for module in layers_of(model)[2].modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(lambda _, given: entered.append(given[0]))
    projections, found = recorded(list(projections_of(model, 2)), model, output_attentions=True)
    hidden, heads = widths(model.config)
    query, key, value = (
        states.view(*states.shape[:2], heads, hidden // heads).transpose(1, 2) for states in projections
    )
    scores = query @ key.transpose(2, 3) / math.sqrt(hidden // heads)
    if "attention_mask" in inputs(model):
        scores = scores.masked_fill(inputs(model)["attention_mask"][:, None, None] == 0, -1e9)
    seen = slice(0, 2)  # rows without padding, where every family agrees
    torch.testing.assert_close(scores.softmax(-1)[seen], found.attentions[2][seen], rtol=1e-4, atol=1e-5)
    context = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)[seen]
    assert any(
        states.shape[1:] == context.shape[1:] and torch.allclose(states[seen], context, rtol=1e-4, atol=1e-5)
        for states in entered
    )


@pytest.mark.parametrize(
    "family, reason",
    [
        ("modernbert", "computes the three as one"),
        ("albert", "share one set"),
        ("swin", "within windows"),
        ("resnet", "has no attention"),
        ("convnext", "has no attention"),
    ],
)
def test_a_family_without_projections_is_refused_with_the_reason_and_the_way_out(family: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"^{family} has no query, key and value .*{reason}.*; use `hidden`"):
        projections_of(make(family), 0)


@pytest.mark.parametrize("layer", [4, -1])
def test_projections_of_a_layer_that_is_not_there_are_refused(layer: int) -> None:
    with pytest.raises(InputError, match=rf"layer {layer} is asked for, but the model has 4 \(0 to 3\)"):
        projections_of(make("bert"), layer)


@pytest.mark.parametrize("family", [*FLAT, "albert"])
def test_widths_are_read_under_the_names_of_the_family(family: str) -> None:
    assert widths(make(family).config) == (32, 2)


@pytest.mark.parametrize("family", STAGED)
def test_a_family_with_stages_has_no_one_width(family: str) -> None:
    with pytest.raises(InputError, match=f"{family} has another width in each stage.*use `hidden`"):
        widths(make(family).config)


def test_layers_that_are_one_set_of_weights_cannot_be_taken_alone() -> None:
    model = make("albert")
    assert layer_count(model.config) == 4
    with pytest.raises(InputError, match="layers of albert are one set of weights"):
        layers_of(model)


def test_an_unknown_family_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match=r"family 'gpt2' keeps its layers; it knows albert, beit, .*add an entry"):
        architecture_of("gpt2")


@pytest.mark.parametrize(
    "entry, missing",
    [
        (Architecture(layers=("nowhere.blocks",)), r"layers at nowhere\.blocks"),
        (Architecture(projections=(("q", "k", "v"),)), "projections at q"),
    ],
)
def test_a_wrong_entry_is_named(monkeypatch: pytest.MonkeyPatch, entry: Architecture, missing: str) -> None:
    monkeypatch.setattr(layers_module, "ARCHITECTURES", {**ARCHITECTURES, "bert": entry})
    with pytest.raises(InputError, match=f"BertForSequenceClassification has no {missing}; correct the entry 'bert'"):
        projections_of(make("bert"), 0)
