"""What a student starts from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hfcompress.artifact import Artifact
from hfcompress.distill.student import float32_bytes, lay_over, load_student, make_student, student_config
from hfcompress.errors import InputError
from hfcompress.models.layers import layer_count
from hfcompress.models.selection import keep_layers
from hfcompress.recipe.student import StudentConfig
from hfcompress.stage import Inputs, Run
from tests import tiny
from tests.distill.test_distilbert import encoded
from tests.models.conftest import CHOOSABLE, FAMILIES, inputs, make, outputs

LIKE_BERT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
LIKE_DINO = {"hidden_size": 16, "num_hidden_layers": 2}
#: A config that is narrower, where it is not like BERT's.
NARROWER: dict[str, dict[str, Any]] = {
    "convnext": {"hidden_sizes": [4, 8], "depths": [1, 2]},
    "convnextv2": {"hidden_sizes": [4, 8]},
    "dinov2": LIKE_DINO,
    "dinov2_with_registers": LIKE_DINO,
    "distilbert": {"hidden_size": 16, "hidden_dim": 32},
    "resnet": {"hidden_sizes": [4, 8], "embedding_size": 2},
    "swin": {"embed_dim": 4, "depths": [2, 2]},
}


@pytest.fixture
def bert() -> Any:
    return make("bert")


def test_a_student_of_which_nothing_is_said_is_the_whole_model(bert: Any) -> None:
    torch.testing.assert_close(outputs(make_student(bert, StudentConfig())), outputs(bert), rtol=0, atol=0)


def test_layers_are_kept_before_the_architecture_changes(bert: Any) -> None:
    student = make_student(bert, StudentConfig(keep_layers=(1, 3), architecture="distilbert"))
    assert student.config.n_layers == 2
    batch = inputs(bert)
    seen = batch["attention_mask"].bool()
    oracle = keep_layers(bert, [1, 3])
    torch.testing.assert_close(encoded(student, **batch)[seen], encoded(oracle, **batch)[seen], rtol=0, atol=1e-5)


def test_a_layer_out_of_range_is_refused(bert: Any) -> None:
    with pytest.raises(InputError, match=r"asks for layer 4, but the model has 4 layers \(0 to 3\)"):
        make_student(bert, StudentConfig(keep_layers=(0, 4)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_student_has_the_fields_that_are_said_and_all_others_of_the_source(
    family: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    model = make(family)
    fields = NARROWER.get(family, LIKE_BERT)
    with caplog.at_level(logging.WARNING, logger="hfcompress"):
        student = make_student(model, StudentConfig(config=fields))
    assert f"fresh {type(model).__name__} of {student.num_parameters():,} parameters" in caplog.text
    assert "it is not pretrained" in caplog.text
    assert type(student) is type(model)
    assert student.num_parameters() < model.num_parameters()
    assert {name: getattr(student.config, name) for name in fields} == fields
    assert student.config.id2label == model.config.id2label
    assert outputs(student).shape == outputs(model).shape
    student.save_pretrained(tmp_path)
    torch.testing.assert_close(
        outputs(type(student).from_pretrained(tmp_path).eval()), outputs(student), rtol=0, atol=0
    )


def test_a_fresh_student_draws_its_weights_from_the_seed_and_takes_none_of_the_source(bert: Any) -> None:
    config = StudentConfig(config={"hidden_dropout_prob": 0.0})  # same shapes, so that weights could be taken
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(make_student(bert, config).bert.encoder.layer[0].output.dense.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], bert.bert.encoder.layer[0].output.dense.weight)


def test_a_fresh_student_is_without_the_pooler_that_the_source_is_without() -> None:
    model = make("bert", head=False)
    model.pooler = None
    assert make_student(model, StudentConfig(config={"hidden_size": 16})).pooler is None


@pytest.mark.parametrize(
    "family, fields, fault",
    [
        ("bert", {"hiden_size": 16}, r"names 'hiden_size', which is no field .* of bert; did you mean `hidden_size`"),
        ("bert", {"dim": 16}, "names 'dim', which is no field of the config of bert"),
        ("distilbert", {"n_layer": 2}, "no field of the config of distilbert; did you mean `n_layers`"),
        ("bert", {"hidden_size": 33}, r"\{hidden_size: 33\} gives no model: .*multiple of the number of attention"),
        ("bert", {"hidden_act": "gelo"}, r"gives no model: .*gelo"),
        ("vit", {"hidden_size": "wide"}, "gives no model"),
        ("swin", {"num_hidden_layers": 3}, "says num_layers: 3, but in a swin it follows from other fields and is 2"),
    ],
)
def test_a_config_that_gives_no_model_is_refused(family: str, fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        make_student(make(family), StudentConfig(config=fields))


def test_what_follows_from_a_field_is_computed_anew() -> None:
    config = make("dinov2").config
    assert lay_over(config, {"num_hidden_layers": 2}).stage_names == ["stem", "stage1", "stage2"]
    assert config.stage_names[-1] == "stage4"
    assert lay_over(make("deberta-v2").config, {"hidden_size": 16}).pooler_hidden_size == 16
    assert lay_over(make("vit").config, {"hidden_size": 16}).pooler_output_size == 16


@pytest.mark.parametrize("family", CHOOSABLE)
def test_the_size_of_a_student_is_known_before_it_is_made(family: str) -> None:
    from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification

    text = "ForSequenceClassification" in FAMILIES[family].heads
    model = make(family)
    model.config.architectures = [type(model).__name__]  # as every saved config says
    for said in ({"keep_layers": tuple(FAMILIES[family].kept)}, {"config": NARROWER.get(family, LIKE_BERT)}):
        config = StudentConfig(**said)
        student, made = make_student(model, config), student_config(model.config, config)
        assert layer_count(made) == layer_count(student.config)
        kind = AutoModelForSequenceClassification if text else AutoModelForImageClassification
        assert float32_bytes(made, kind) == 4 * student.num_parameters()


def test_the_size_of_a_distilbert_is_known_before_it_is_made(bert: Any) -> None:
    from transformers import AutoModelForSequenceClassification

    config = StudentConfig(keep_layers=(0, 2), architecture="distilbert")
    expected = 4 * make_student(bert, config).num_parameters()
    assert float32_bytes(student_config(bert.config, config), AutoModelForSequenceClassification) == expected


def test_another_checkpoint_is_the_student_with_its_own_weights(
    encoder: Path, classifier: Path, make_run: Callable[..., Run], tmp_path: Path
) -> None:
    other = tiny.save_bert(tmp_path / "other", layers=2, seed=7)
    run = make_run("student")
    found = Inputs(Artifact(classifier, "torch"), student=Artifact(other, "torch"))
    student = load_student(StudentConfig(model={"id": str(other)}), found, run)
    assert layer_count(student.config) == 2
    assert student.config.id2label == {0: "negative", 1: "positive"}, "its head is new, for the teacher's labels"
    torch.testing.assert_close(dict(student.bert.state_dict()), dict(load_bare(other).state_dict()), rtol=0, atol=0)


def load_bare(folder: Path) -> Any:
    from transformers import BertModel

    return BertModel.from_pretrained(folder)


def test_a_checkpoint_with_the_head_keeps_it(classifier: Path, make_run: Callable[..., Run], tmp_path: Path) -> None:
    other = tiny.save_bert(tmp_path / "other", layers=2, head=True, seed=7)
    found = Inputs(Artifact(classifier, "torch"), student=Artifact(other, "torch"))
    student = load_student(StudentConfig(model={"id": str(other)}), found, make_run("student"))
    from transformers import BertForSequenceClassification

    theirs = BertForSequenceClassification.from_pretrained(other)
    torch.testing.assert_close(dict(student.state_dict()), dict(theirs.state_dict()), rtol=0, atol=0)
