"""Objectives over layers: which layers, projections, masks, and that they pull the student's layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from transformers import ResNetConfig, ResNetForImageClassification, RoFormerConfig, RoFormerForSequenceClassification

from hfcompress.errors import InputError
from hfcompress.recipe.objectives import DistillationObjectives, RelationsConfig
from hfcompress.training import losses
from hfcompress.training.arguments import DistillationArguments
from hfcompress.training.distillation_loss import DistillationLoss
from hfcompress.training.layer_objectives import resolve_layers
from hfcompress.training.teachers import Teacher
from hfcompress.training.trainer import DistillationTrainer
from tests.training.toy import PowerCut, PowerCutError, collate, logged, sentence_pairs, tiny_bert, tiny_distilbert

Make = Callable[..., DistillationTrainer]

NARROW = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


def deep_bert(seed: int = 1, **config: Any) -> Any:
    return tiny_bert(seed, num_hidden_layers=4, **config)


def loss_of(student: Any, teacher: Any, **objectives: Any) -> DistillationLoss:
    config = DistillationObjectives(kl_weight=0, label_weight=0, **objectives)
    return DistillationLoss(config, student, Teacher(teacher), 0.0)


def parts_of(student: Any, teacher: Any, batch: dict[str, torch.Tensor], **objectives: Any) -> dict[str, torch.Tensor]:
    loss = loss_of(student, teacher, **objectives)
    loss.probe(student, batch, seed=0)
    return loss.parts(*loss.ask(student, student, batch), batch, None)


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    return collate(list(sentence_pairs(6)))


@pytest.mark.parametrize(
    ("layers", "student", "teacher", "expected"),
    [
        ("uniform", 3, 6, {0: 1, 1: 3, 2: 5}),
        ("uniform", 6, 12, {0: 1, 1: 3, 2: 5, 3: 7, 4: 9, 5: 11}),
        ("uniform", 4, 4, {0: 0, 1: 1, 2: 2, 3: 3}),
        ("uniform", 2, 5, {0: 2, 1: 4}),
        ("last", 3, 6, {2: 5}),
        ({0: 5, 2: 1}, 3, 6, {0: 5, 2: 1}),
    ],
)
def test_layers_are_mapped(layers: Any, student: int, teacher: int, expected: dict[int, int]) -> None:
    assert resolve_layers(layers, student, teacher, "hidden") == expected


def test_a_layer_out_of_range_is_named_with_its_range() -> None:
    with pytest.raises(InputError, match=r"hidden.layers names layer 3 of the student, which has 3 \(0 to 2\)"):
        resolve_layers({3: 0}, 3, 6, "hidden")
    with pytest.raises(InputError, match=r"layer 6 of the teacher, which has 6 \(0 to 5\)"):
        resolve_layers({0: 6}, 3, 6, "hidden")


@pytest.mark.parametrize("kind", ["mse", "cosine"])
def test_hidden_states_of_real_tokens_are_compared(batch: dict[str, torch.Tensor], kind: str) -> None:
    student, teacher = tiny_bert(), deep_bert()
    ours = parts_of(student, teacher, batch, hidden={"loss": kind, "layers": {1: 3, 0: 2}})["hidden"]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    a, b = (model(**inputs, output_hidden_states=True).hidden_states for model in (student.eval(), teacher))
    real = batch["attention_mask"].bool()
    each = []
    for i, j in ((2, 4), (1, 3)):
        x, y = a[i][real], b[j][real]
        each.append(functional.mse_loss(x, y) if kind == "mse" else (1 - functional.cosine_similarity(x, y)).mean())
    torch.testing.assert_close(ours, torch.stack(each).mean())


def test_relations_need_no_equal_widths(batch: dict[str, torch.Tensor]) -> None:
    student, teacher = tiny_bert(**NARROW), deep_bert()
    ours = parts_of(student, teacher, batch, relations={"teacher_layer": 2, "heads": 4})["relations"]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    projected = []
    for model, layer in ((student.eval(), 1), (teacher, 2)):
        states = model(**inputs, output_hidden_states=True).hidden_states[layer]
        attention = model.bert.encoder.layer[layer].attention.self
        projected.append([module(states) for module in (attention.query, attention.key, attention.value)])
    mask = batch["attention_mask"].bool()
    each = [losses.relation_kl(a, b, 4, mask)[mask].mean() for a, b in zip(*projected, strict=True)]
    torch.testing.assert_close(ours, torch.stack(each).mean())


def test_attention_scores_are_compared_layer_by_layer(batch: dict[str, torch.Tensor]) -> None:
    student, teacher = tiny_bert(), deep_bert()
    ours = parts_of(student, teacher, batch, attention={})["attention"]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    for model in (student, teacher):
        model.set_attn_implementation("eager")
    # Eager attention gives the softmax over real tokens; its logarithm is the scores up to a shift of each row.
    maps = [model.eval()(**inputs, output_attentions=True).attentions for model in (student, teacher)]
    assert maps[0][0].shape[1] == 2
    loss = loss_of(student, teacher, attention={})
    answers = loss.ask(student, student, batch)
    real = batch["attention_mask"].bool()
    for layer, answer, theirs in ((1, answers[0], maps[0][1]), (3, answers[1], maps[1][3])):
        scores = losses.attention_scores(answer.projections[layer][0], answer.projections[layer][1], 2)
        softmax = scores.masked_fill(~real[:, None, None, :], -torch.inf).softmax(-1)
        torch.testing.assert_close(softmax, theirs)
    assert ours > 0


@pytest.mark.parametrize(
    "objectives",
    [{"hidden": {"loss": "mse"}}, {"hidden": {"loss": "cosine"}}, {"relations": {}}, {"attention": {}}],
    ids=["mse", "cosine", "relations", "attention"],
)
def test_each_part_goes_down_when_it_is_all_that_is_learned(trainer: Make, objectives: dict[str, Any]) -> None:
    part = next(iter(objectives))
    training = trainer(
        model=tiny_distilbert(),
        teacher=deep_bert(),
        kl_weight=0.0,
        label_weight=0.0,
        rows=sentence_pairs(64),
        max_steps=40,
        learning_rate=5e-3,
        logging_steps=5,
        per_device_train_batch_size=16,
        **objectives,
    )
    training.train()
    values = logged(training, f"loss_{part}")
    assert values[-1] < 0.6 * values[0]
    assert logged(training, "loss") == pytest.approx(values, abs=1e-4)


def test_projections_are_trained_and_kept_in_checkpoints_and_out_of_the_artifact(trainer: Make, tmp_path: Path) -> None:
    settings = {"hidden": {}, "save_strategy": "steps", "save_steps": 2, "max_steps": 4, "learning_rate": 1e-2}
    student = tiny_bert(**NARROW)
    training = trainer(folder=tmp_path, model=student, teacher=deep_bert(), **settings)
    before = {name: p.detach().clone() for name, p in student.named_parameters() if "projections" in name}
    assert {name.rsplit(".", 1)[0] for name in before} == {
        "distillation_projections.hidden.0",
        "distillation_projections.hidden.1",
    }
    training.train()
    now = dict(student.named_parameters())
    assert all((now[name] != value).any() for name, value in before.items())
    assert set(before) <= set(load_file(tmp_path / "checkpoint-4" / "model.safetensors"))
    training.save_model(str(tmp_path / "artifact"))
    saved = load_file(tmp_path / "artifact" / "model.safetensors")
    assert not any("projections" in name for name in saved)
    assert set(saved) == set(tiny_bert(**NARROW).state_dict())
    with training.bare_student() as bare:
        assert not any("projections" in name for name in bare.state_dict())
    assert set(before) <= set(student.state_dict())


def test_a_run_with_projections_that_is_cut_and_resumed_ends_bit_equal(trainer: Make, tmp_path: Path) -> None:
    settings = {"hidden": {}, "save_strategy": "steps", "save_steps": 3, "max_steps": 8, "learning_rate": 3e-3}

    def training(folder: str, *callbacks: Any) -> DistillationTrainer:
        student = tiny_bert(dropout=0.2, **NARROW)
        return trainer(
            folder=tmp_path / folder, model=student, teacher=deep_bert(), callbacks=list(callbacks), **settings
        )

    whole = training("whole")
    whole.train()
    with pytest.raises(PowerCutError):
        training("cut", PowerCut(5)).train()
    resumed = training("cut")
    resumed.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-3"))
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def resnet(seed: int, widths: tuple[int, int]) -> Any:
    torch.manual_seed(seed)
    config = ResNetConfig(
        num_channels=1,
        embedding_size=widths[0],
        hidden_sizes=list(widths),
        depths=[1, 1],
        layer_type="basic",
        num_labels=3,
    )
    return ResNetForImageClassification(config).eval()


def test_feature_maps_of_convolutional_nets_are_projected_and_pooled() -> None:
    student, teacher = resnet(0, (4, 8)), resnet(1, (8, 16))
    batch = {"pixel_values": torch.randn(3, 1, 32, 32), "labels": torch.tensor([0, 1, 2])}
    loss = loss_of(student, teacher, hidden={})
    projections = loss.probe(student, batch, seed=0)
    assert projections is not None
    kinds = [type(module) for module in projections["hidden"].values()]
    assert kinds == [nn.Conv2d, nn.Conv2d]
    ours, theirs = loss.ask(student, student, batch)
    value = loss.parts(ours, theirs, batch, None)["hidden"]
    expected = [
        functional.mse_loss(projections["hidden"][str(i)](ours.hidden_states[i + 1]), theirs.hidden_states[i + 1])
        for i in (0, 1)
    ]
    torch.testing.assert_close(value, torch.stack(expected).mean())


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ({"hidden": {"layers": {2: 0}}}, r"hidden.layers names layer 2 of the student, which has 2"),
        ({"relations": {"student_layer": 5}}, r"relations.student_layer is 5, but the model has 2 layers \(0 to 1\)"),
        ({"relations": {"heads": 3}}, "relations.heads is 3, which does not divide both widths, 32 and 32"),
        ({"attention": {"layers": {0: 4}}}, "layer 4 of the teacher, which has 4"),
    ],
)
def test_what_does_not_suit_the_models_is_refused_before_training(
    trainer: Make, objectives: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        trainer(model=tiny_bert(), teacher=deep_bert(), **objectives)


def projections_at(stem: str) -> tuple[str, ...]:
    return tuple(f"{stem}.attention.self.{name}" for name in ("query", "key", "value"))


def test_named_projections_are_those_of_their_layer(batch: dict[str, torch.Tensor]) -> None:
    student, teacher = tiny_bert(), deep_bert()
    layers = {"student_layer": 1, "teacher_layer": 2}
    names = {
        "student_projections": projections_at("bert.encoder.layer.1"),
        "teacher_projections": projections_at("bert.encoder.layer.2"),
    }
    expected = parts_of(student, teacher, batch, relations=layers)["relations"]
    torch.testing.assert_close(parts_of(student, teacher, batch, relations=names)["relations"], expected)


def test_an_unknown_family_learns_relations_by_named_projections(trainer: Make) -> None:
    config = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    labels = {"id2label": {0: "low", 1: "high"}, "label2id": {"low": 0, "high": 1}}
    student = RoFormerForSequenceClassification(RoFormerConfig(**config, **labels, intermediate_size=32))
    with pytest.raises(InputError, match=r"'roformer'.*architectures.py.*in the recipe \(`student_projections`"):
        trainer(model=student, teacher=deep_bert(), relations={})
    names = {"student_projections": projections_at("roformer.encoder.layer.1")}
    training = trainer(model=student, teacher=deep_bert(), relations=names, logging_steps=1, max_steps=2)
    training.train()
    assert logged(training, "loss_relations")[0] > 0


def test_a_projection_that_is_not_there_is_named_with_its_neighbours(trainer: Make) -> None:
    names = {"student_projections": projections_at("bert.encoder.layers.1")}
    with pytest.raises(InputError, match=r"no module 'bert.encoder.layers.1.*such as bert.encoder.layer.1.attention"):
        trainer(model=tiny_bert(), teacher=deep_bert(), relations=names)


def test_a_layer_and_named_projections_are_one_too_many() -> None:
    with pytest.raises(ValidationError, match="student_layer and student_projections both say where to look"):
        RelationsConfig(student_layer=1, student_projections=projections_at("bert.encoder.layer.1"))


def test_unequal_numbers_of_heads_are_refused_with_the_way_out(trainer: Make) -> None:
    with pytest.raises(InputError, match="the student has 4, the teacher 2; use `relations`"):
        trainer(model=tiny_bert(num_attention_heads=4), teacher=deep_bert(), attention={})


def test_several_teachers_show_no_layers(trainer: Make) -> None:
    with pytest.raises(InputError, match="one teacher"):
        trainer(model=tiny_bert(), teacher=[deep_bert(1), deep_bert(2)], relations={})


@pytest.mark.parametrize("part", ["relations", "attention", "hidden"])
def test_gradient_checkpointing_leaves_the_gradient_as_it_is(trainer: Make, tmp_path: Path, part: str) -> None:
    fives = hasattr(DistillationArguments, "activation_checkpointing")
    name = "activation_checkpointing" if fives else "gradient_checkpointing"
    norms = []
    for checkpointing in (False, True):
        training = trainer(
            folder=tmp_path / str(checkpointing),
            model=tiny_bert(),
            teacher=deep_bert(),
            kl_weight=0.0,
            label_weight=0.0,
            logging_steps=1,
            max_steps=2,
            **{part: {}, name: checkpointing},
        )
        training.train()
        norms.append(logged(training, "grad_norm"))
    assert norms[0][0] > 0.1
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)


def test_nothing_of_a_forward_pass_is_kept_after_training(trainer: Make, batch: dict[str, torch.Tensor]) -> None:
    student = tiny_bert()
    training = trainer(model=student, teacher=deep_bert(), relations={})
    training.train()
    student(**{name: batch[name] for name in ("input_ids", "attention_mask")})
    assert training._loss is not None
    assert training._loss._recorder is not None
    assert training._loss._recorder._seen is None
    assert training._micro_batches == []


def test_losses_are_computed_in_float32_under_autocast(batch: dict[str, torch.Tensor]) -> None:
    student, teacher = tiny_bert(), deep_bert()
    loss = loss_of(student, teacher, relations={}, attention={}, hidden={})
    loss.probe(student, batch, seed=0)
    ours, theirs = loss.ask(student, student, batch)
    exact = loss.parts(ours, theirs, batch, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss.parts(ours, theirs, batch, None), exact, rtol=0, atol=0)
