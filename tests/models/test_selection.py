"""Fewer layers: the answers of the same model with the others taken out by hand."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hfcompress.errors import InputError
from hfcompress.models.architectures import ARCHITECTURES
from hfcompress.models.layers import layer_count, layers_of
from hfcompress.models.selection import keep_layers, with_layers
from tests.models.conftest import CHOOSABLE, FAMILIES, make, outputs

EVERY_HEAD = [(name, head) for name, family in CHOOSABLE.items() for head in family.heads]
#: Families in which what a layer computes hangs on its place.
PLACED = [name for name in CHOOSABLE if ARCHITECTURES[name].place != "nothing" or ARCHITECTURES[name].blocks]


def without_the_others(model: Any, kept: list[int]) -> Any:
    """The oracle: the model itself, the others deleted from the lists that hold them."""
    oracle = copy.deepcopy(model)
    gone = [layer for index, layer in enumerate(layers_of(oracle)) if index not in kept]
    for owner in list(oracle.modules()):
        if isinstance(owner, nn.ModuleList | nn.Sequential):
            for place in reversed(range(len(owner))):
                if any(owner[place] is layer for layer in gone):
                    del owner[place]
    return oracle


def tied(model: Any) -> list[set[str]]:
    """Names of weights that are one tensor."""
    names: dict[int, set[str]] = defaultdict(set)
    for name, tensor in model.state_dict().items():
        names[tensor.data_ptr()].add(name)
    return [group for group in names.values() if len(group) > 1]


@pytest.mark.parametrize("family, head", EVERY_HEAD)
def test_a_model_with_fewer_layers_answers_as_if_the_others_were_not_there(family: str, head: str) -> None:
    model = make(family, head=head)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kept, answers = FAMILIES[family].kept, outputs(model)
    student = keep_layers(model, kept)
    assert type(student) is type(model)
    torch.testing.assert_close(outputs(student), outputs(without_the_others(model, kept)), rtol=0, atol=0)
    assert not torch.allclose(outputs(student), answers), "the layers that went had a part in the answers"
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    torch.testing.assert_close(outputs(model), answers, rtol=0, atol=0)


@pytest.mark.parametrize("family", CHOOSABLE)
def test_all_layers_give_the_same_model(family: str) -> None:
    model = make(family)
    student = keep_layers(model, range(layer_count(model.config)))
    torch.testing.assert_close(outputs(student), outputs(model), rtol=0, atol=0)
    assert student.config.to_dict() == {**model.config.to_dict(), **unread(student)}


def unread(student: Any) -> dict[str, Any]:
    """What a backbone would give out, which is set anew: no head reads it."""
    fields = ("out_features", "out_indices", "stage_names")
    return {name: value for name, value in student.config.to_dict().items() if name in fields}


@pytest.mark.parametrize("family", CHOOSABLE)
def test_what_is_saved_is_loaded_with_the_same_answers(family: str, tmp_path: Path) -> None:
    student = keep_layers(make(family), FAMILIES[family].kept)
    student.save_pretrained(tmp_path)
    loaded, found = type(student).from_pretrained(tmp_path, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    torch.testing.assert_close(outputs(loaded.eval()), outputs(student), rtol=0, atol=0)


@pytest.mark.parametrize("family", CHOOSABLE)
def test_the_config_counts_the_layers_that_are_left_and_the_original_keeps_its_own(family: str) -> None:
    model, kept = make(family), FAMILIES[family].kept
    before = model.config.to_dict()
    student = keep_layers(model, kept)
    assert layer_count(student.config) == len(layers_of(student)) == len(kept)
    assert model.config.to_dict() == before
    assert student.config.id2label == model.config.id2label


@pytest.mark.parametrize("family", [name for name, family in CHOOSABLE.items() if "ForMaskedLM" in family.heads])
def test_tied_weights_stay_tied_and_untied_ones_apart(family: str) -> None:
    for tie in (True, False):
        model = make(family, head="ForMaskedLM", tie_word_embeddings=tie)
        student = keep_layers(model, FAMILIES[family].kept)
        assert tied(student) == tied(model)
        words = student.get_input_embeddings().weight
        shared = [group for group in tied(student) if any("embeddings" in name for name in group)]
        assert bool(shared) is tie, "the case is real"
        torch.testing.assert_close(words, model.get_input_embeddings().weight, rtol=0, atol=0)


@pytest.mark.parametrize("family", PLACED)
def test_every_choice_is_sound_or_refused(family: str) -> None:
    """Exhaustive: what is not refused answers like the model with the others deleted.

    How many are sound is counted by hand: ConvNeXt has any of 2 blocks, in both stages (3 x 3). ResNet has the first of
    each (4 x 2). Swin has unshifted and shifted ones in turn (0, 2, 01, 03, 23, 012, 0123; and 0, 01 of its second
    stage). ModernBERT has layer 0 and any of 3 others, but for 0, 2, 3, whose kinds are no multiples of a number.
    """
    model = make(family)
    accepted = 0
    for choice in choices(layer_count(model.config)):
        try:
            student = keep_layers(model, choice)
        except InputError:
            continue
        accepted += 1
        torch.testing.assert_close(outputs(student), outputs(without_the_others(model, choice)), rtol=0, atol=0)
    lists_kinds = hasattr(model.config, "layer_types")  # Transformers 5, which can say 0, 2, 3
    sound = {"convnext": 9, "convnextv2": 9, "modernbert": 7 + lists_kinds, "resnet": 8, "swin": 14}
    assert accepted == sound[family]


def choices(count: int) -> Iterator[list[int]]:
    sizes = range(1, count + 1)
    return (list(choice) for choice in chain.from_iterable(combinations(range(count), size) for size in sizes))


@pytest.mark.parametrize(
    "family, layers, fault",
    [
        ("swin", [0, 1, 2, 3], r"leaves no block of stage 1 \(blocks 4 to 5\); keep at least one of each stage"),
        ("convnext", [2], r"leaves no block of stage 0 \(blocks 0 to 1\)"),
        ("resnet", [0, 4], r"leaves out block 3, the first of stage 1 .*width and resolution.*; add 3"),
        ("swin", [0, 2, 4], r"makes block 2 of stage 0 .* its number 1, .*unshifted .* shifted ones; keep .* 0 and 1"),
        ("swin", [1, 4], r"makes block 1 of stage 0 .* its number 0, but it attends within shifted windows"),
        ("modernbert", [1, 2], r"leaves out layer 0 of modernbert, which alone is built without a norm.*; add 0"),
        (
            "albert",
            [0, 1],
            r"makes no sense for albert: its 4 layers are one set .*model: .*config: \{num_hidden_layers",
        ),
    ],
)
def test_a_choice_that_is_not_sound_is_refused_with_the_way_out(family: str, layers: list[int], fault: str) -> None:
    with pytest.raises(InputError, match=f"^keep_layers {fault}"):
        with_layers(make(family).config, layers)


@pytest.mark.parametrize(
    "layers, every", [([0, 3], 1), ([0, 3, 6], 1), ([0, 1, 3, 4], 2), ([0, 2], 3), ([0, 1, 2, 3], 3), ([0], 3)]
)
def test_every_layer_that_is_left_attends_as_before(layers: list[int], every: int) -> None:
    config = make("modernbert", num_hidden_layers=7, global_attn_every_n_layers=3).config
    smaller = with_layers(config, layers)
    if hasattr(config, "layer_types"):  # Transformers 5
        assert smaller.layer_types == [config.layer_types[index] for index in layers]
    else:
        assert smaller.global_attn_every_n_layers == every


def test_a_pattern_of_attention_that_the_config_cannot_say_is_refused() -> None:
    config = make("modernbert", num_hidden_layers=7, global_attn_every_n_layers=3).config
    if hasattr(config, "layer_types"):
        pytest.skip("Transformers 5 says the kind of every layer")
    with pytest.raises(InputError, match=r"attend globally, locally, globally, globally, which its .* \(here 3\)"):
        with_layers(config, [0, 1, 3, 6])


@pytest.mark.parametrize("index", [4, 9, -1])
def test_a_layer_that_the_model_does_not_have_is_refused(index: int) -> None:
    with pytest.raises(InputError, match=rf"asks for layer {index}, but the model has 4 layers \(0 to 3\)"):
        keep_layers(make("distilbert"), [0, index])


@pytest.mark.parametrize("layers", [[2, 0], [1, 1], [0, 2, 1]])
def test_layers_out_of_order_are_refused(layers: list[int]) -> None:
    with pytest.raises(InputError, match=r"should ascend without repetition, got \["):
        keep_layers(make("bert"), layers)


def test_no_layers_are_refused() -> None:
    with pytest.raises(InputError, match="keep_layers is empty; name some of the layers 0 to 3"):
        keep_layers(make("bert"), [])


def test_weights_are_copies() -> None:
    model = make("bert")
    student = keep_layers(model, [0, 2])
    answers = outputs(model)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.fill_(7)
    torch.testing.assert_close(outputs(model), answers, rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_dtype_are_kept(training: bool) -> None:
    student = keep_layers(make("bert").train(training).to(torch.bfloat16), [0, 2])
    assert student.training is training
    assert student.dtype == torch.bfloat16


@pytest.mark.parametrize("family", ["bert", "vit"])
def test_a_pooler_that_was_taken_out_stays_out(family: str) -> None:
    model = make(family, head=False)
    model.pooler = None
    student = keep_layers(model, [0, 2])
    assert student.pooler is None
    torch.testing.assert_close(outputs(student), outputs(without_the_others(model, [0, 2])), rtol=0, atol=0)


def test_pruned_heads_move_with_their_layers() -> None:
    config = make("bert").config
    config.pruned_heads = {0: [1], 2: [0]}
    assert with_layers(config, [1, 2]).pruned_heads == {1: [0]}


def test_a_weight_that_is_missing_is_an_error_and_not_random() -> None:
    model = make("bert")
    model.bert.encoder.layer[2].output.dense.bias = None
    with pytest.raises(RuntimeError, match=r"Missing key.*layer\.1\.output\.dense\.bias"):
        keep_layers(model, [0, 2])
