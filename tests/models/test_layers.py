"""Fewer layers: the answers of the same model with the others taken out by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from hfcompress.errors import InputError
from hfcompress.models import layers as layers_module
from hfcompress.models.architectures import ARCHITECTURES, Architecture
from hfcompress.models.layers import architecture_of, check_layers, keep_layers, stem_of
from tests.models.conftest import FAMILIES, make, outputs

KEPT = [0, 2]


def without_the_others(model: Any, kept: list[int]) -> Any:
    """The oracle: the model itself with its list of layers replaced by the kept modules."""
    oracle = copy.deepcopy(model)
    stem = stem_of(oracle, ARCHITECTURES[oracle.config.model_type])
    parent, _, name = stem.rpartition(".")
    owner = oracle.get_submodule(parent)
    setattr(owner, name, nn.ModuleList([getattr(owner, name)[index] for index in kept]))
    return oracle


def test_every_family_is_tested() -> None:
    assert set(FAMILIES) == set(ARCHITECTURES)


@pytest.mark.parametrize("head", [True, False], ids=["head", "bare"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_with_fewer_layers_answers_as_if_the_others_were_skipped(family: str, head: bool) -> None:
    model = make(family, head=head)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    answers = outputs(model)
    student = keep_layers(model, KEPT)
    torch.testing.assert_close(outputs(student), outputs(without_the_others(model, KEPT)), rtol=0, atol=0)
    assert not torch.allclose(outputs(student), answers), "the layers that went had a part in the answers"
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    torch.testing.assert_close(outputs(model), answers, rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_config_counts_the_layers_that_are_left_and_the_original_keeps_its_own(family: str) -> None:
    model = make(family)
    student = keep_layers(model, [1, 2, 3])
    count = ARCHITECTURES[family].count
    assert (getattr(student.config, count), getattr(model.config, count)) == (3, 4)
    assert type(student) is type(model)
    assert student.config.id2label == model.config.id2label


def test_all_layers_give_the_same_model() -> None:
    model = make("bert")
    torch.testing.assert_close(outputs(keep_layers(model, range(4))), outputs(model), rtol=0, atol=0)


def test_weights_are_copies() -> None:
    model = make("bert")
    student = keep_layers(model, KEPT)
    answers = outputs(model)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.fill_(7)
    torch.testing.assert_close(outputs(model), answers, rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_kept(training: bool) -> None:
    assert keep_layers(make("bert").train(training), KEPT).training is training


@pytest.mark.parametrize("index", [4, 9, -1])
def test_a_layer_that_the_model_does_not_have_is_refused(index: int) -> None:
    with pytest.raises(InputError, match=rf"asks for layer {index}, but the model has 4 layers \(0 to 3\)"):
        check_layers(make("distilbert").config, [0, index])


def test_an_unknown_family_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match=r"family 'gpt2' keeps its layers; it knows bert, deit, .*add an entry"):
        architecture_of("gpt2")


def test_a_wrong_entry_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {**ARCHITECTURES, "bert": Architecture(("bert.nowhere.blocks",))}
    monkeypatch.setattr(layers_module, "ARCHITECTURES", wrong)
    with pytest.raises(InputError, match=r"BertForSequenceClassification has no layers at bert\.nowhere\.blocks"):
        keep_layers(make("bert"), KEPT)
