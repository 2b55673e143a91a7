"""What a student starts from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel

from hfcompress.distill.student import make_student, to_distilbert
from hfcompress.errors import InputError, StageError
from hfcompress.models.selection import keep_layers
from hfcompress.recipe.stages import StudentConfig
from tests.models.conftest import inputs, make, outputs


def encoded(model: Any, **batch: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.base_model(**batch).last_hidden_state


@pytest.fixture
def bert() -> BertForSequenceClassification:
    return make("bert")


def test_a_distilbert_of_a_bert_has_its_hidden_states(bert: Any) -> None:
    batch = inputs(bert)
    student = to_distilbert(bert).eval()
    seen = batch["attention_mask"].bool()
    torch.testing.assert_close(encoded(student, **batch)[seen], encoded(bert, **batch)[seen], rtol=0, atol=1e-5)


def test_an_active_segment_embedding_is_not_lost(bert: Any) -> None:
    with torch.no_grad():
        bert.bert.embeddings.token_type_embeddings.weight.mul_(10)
    batch = inputs(bert)
    seen = batch["attention_mask"].bool()
    student = to_distilbert(bert).eval()
    torch.testing.assert_close(encoded(student, **batch)[seen], encoded(bert, **batch)[seen], rtol=0, atol=1e-5)


def test_a_distilbert_lacks_the_segment_embeddings_and_no_other_parameter(bert: Any) -> None:
    count = sum(parameter.numel() for parameter in bert.parameters())
    segments = bert.bert.embeddings.token_type_embeddings.weight.numel()
    assert sum(parameter.numel() for parameter in to_distilbert(bert).parameters()) == count - segments


def test_the_head_starts_from_berts_pooler_and_classifier(bert: Any) -> None:
    student = to_distilbert(bert)
    torch.testing.assert_close(student.pre_classifier.weight, bert.bert.pooler.dense.weight, rtol=0, atol=0)
    torch.testing.assert_close(student.classifier.bias, bert.classifier.bias, rtol=0, atol=0)


def test_the_config_is_berts_under_distilberts_names() -> None:
    bert = make(
        "bert", hidden_act="relu", hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2, pad_token_id=5,
        id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1}, num_labels=2,
    )  # fmt: skip
    config = to_distilbert(bert).config
    assert (config.dim, config.n_layers, config.n_heads, config.hidden_dim) == (32, 4, 2, 64)
    assert (config.activation, config.dropout, config.attention_dropout) == ("relu", 0.3, 0.2)
    assert (config.pad_token_id, config.max_position_embeddings, config.vocab_size) == (5, 64, 60)
    assert (config.id2label, config.label2id) == ({0: "a", 1: "b"}, {"a": 0, "b": 1})


@pytest.mark.parametrize("given, expected", [(None, 0.3), (0.0, 0.0), (0.5, 0.5)])
def test_the_classifiers_dropout_is_berts(given: float | None, expected: float) -> None:
    bert = make("bert", hidden_dropout_prob=0.3, classifier_dropout=given)
    assert to_distilbert(bert).config.seq_classif_dropout == expected


def test_bert_is_left_as_it_is(bert: Any) -> None:
    before = {name: tensor.clone() for name, tensor in bert.state_dict().items()}
    student = to_distilbert(bert)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
    torch.testing.assert_close(dict(bert.state_dict()), before, rtol=0, atol=0)


def test_layers_are_kept_before_the_architecture_changes(bert: Any) -> None:
    student = make_student(bert, StudentConfig(keep_layers=(1, 3), architecture="distilbert")).eval()
    assert student.config.n_layers == 2
    batch = inputs(bert)
    seen = batch["attention_mask"].bool()
    oracle = keep_layers(bert, [1, 3])
    torch.testing.assert_close(encoded(student, **batch)[seen], encoded(oracle, **batch)[seen], rtol=0, atol=1e-5)


def test_a_student_of_which_nothing_is_said_is_the_whole_model(bert: Any) -> None:
    torch.testing.assert_close(outputs(make_student(bert, StudentConfig())), outputs(bert), rtol=0, atol=0)


def test_a_layer_out_of_range_is_refused(bert: Any) -> None:
    with pytest.raises(InputError, match=r"asks for layer 4, but the model has 4 layers \(0 to 3\)"):
        make_student(bert, StudentConfig(keep_layers=(0, 4)))


@pytest.mark.parametrize("family", ["roberta", "electra", "distilbert"])
def test_a_distilbert_of_something_else_is_refused(family: str) -> None:
    with pytest.raises(
        StageError, match=r"needs a BertForSequenceClassification, got \w+For.*leave `architecture` out"
    ):
        make_student(make(family), StudentConfig(architecture="distilbert"))


def test_a_bare_bert_is_refused() -> None:
    with pytest.raises(StageError, match="got BertModel"):
        to_distilbert(BertModel(BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)))
