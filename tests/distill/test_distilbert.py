"""A DistilBERT from a BERT: the same answers, from weights under other names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from hfcompress.distill.distilbert import to_distilbert
from hfcompress.errors import InputError
from hfcompress.models.selection import keep_layers
from tests.models.conftest import TEXT_HEADS, inputs, make, outputs

#: The layers of a BERT of 12 that DistilBERT starts from, in the paper's code.
PUBLISHED = [0, 2, 4, 7, 9, 11]


def encoded(model: Any, **batch: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.base_model(**batch).last_hidden_state


@pytest.fixture
def bert() -> Any:
    return make("bert")


@pytest.mark.parametrize("head", TEXT_HEADS)
def test_a_distilbert_of_a_bert_has_its_hidden_states(head: str) -> None:
    bert = make("bert", head=head)
    with torch.no_grad():  # an embedding of the first segment that matters
        bert.base_model.embeddings.token_type_embeddings.weight.mul_(10)
    student = to_distilbert(bert)
    assert type(student).__name__ == "Distil" + type(bert).__name__
    batch = inputs(bert)
    seen = batch["attention_mask"].bool()
    torch.testing.assert_close(encoded(student, **batch)[seen], encoded(bert, **batch)[seen], rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", ["ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering"])
def test_its_answers_are_berts_where_the_head_reads_tokens(head: str) -> None:
    bert = make("bert", head=head)
    student, seen = to_distilbert(bert), inputs(bert)["attention_mask"].bool()
    theirs, ours = outputs(bert), outputs(student)
    if head == "ForQuestionAnswering":
        theirs, ours, seen = theirs[:, :2], ours[:, :2], slice(None)  # rows without padding
    torch.testing.assert_close(ours[seen], theirs[seen], rtol=0, atol=2e-4)


def test_its_answers_on_sequences_are_berts_but_for_the_activation_of_the_pooler(bert: Any) -> None:
    student = to_distilbert(bert)
    first = encoded(bert, **inputs(bert))[:, 0]
    pooler, classifier = bert.bert.pooler.dense, bert.classifier
    with torch.inference_mode():
        expected = classifier(functional.relu(pooler(first)))
    torch.testing.assert_close(outputs(student), expected, rtol=0, atol=1e-4)


def test_a_masked_lm_head_stays_tied_to_berts_own_words() -> None:
    bert = make("bert", head="ForMaskedLM")
    student = to_distilbert(bert)
    words = student.distilbert.embeddings.word_embeddings.weight
    assert student.vocab_projector.weight is words
    torch.testing.assert_close(words, bert.bert.embeddings.word_embeddings.weight, rtol=0, atol=0)


def test_the_published_layers_are_those_of_a_copy_by_hand() -> None:
    """Against `extract_distilbert.py` of the paper, which copies weight by weight."""
    bert = make("bert", head="ForMaskedLM", num_hidden_layers=12)
    theirs = bert.state_dict()
    ours = to_distilbert(keep_layers(bert, PUBLISHED)).state_dict()
    expected: dict[str, torch.Tensor] = {}
    for kind in ("weight", "bias"):
        for new, old in enumerate(PUBLISHED):
            source, target = f"bert.encoder.layer.{old}.", f"distilbert.transformer.layer.{new}."
            expected[f"{target}attention.q_lin.{kind}"] = theirs[f"{source}attention.self.query.{kind}"]
            expected[f"{target}attention.k_lin.{kind}"] = theirs[f"{source}attention.self.key.{kind}"]
            expected[f"{target}attention.v_lin.{kind}"] = theirs[f"{source}attention.self.value.{kind}"]
            expected[f"{target}attention.out_lin.{kind}"] = theirs[f"{source}attention.output.dense.{kind}"]
            expected[f"{target}sa_layer_norm.{kind}"] = theirs[f"{source}attention.output.LayerNorm.{kind}"]
            expected[f"{target}ffn.lin1.{kind}"] = theirs[f"{source}intermediate.dense.{kind}"]
            expected[f"{target}ffn.lin2.{kind}"] = theirs[f"{source}output.dense.{kind}"]
            expected[f"{target}output_layer_norm.{kind}"] = theirs[f"{source}output.LayerNorm.{kind}"]
        expected[f"vocab_transform.{kind}"] = theirs[f"cls.predictions.transform.dense.{kind}"]
        expected[f"vocab_layer_norm.{kind}"] = theirs[f"cls.predictions.transform.LayerNorm.{kind}"]
        expected[f"vocab_projector.{kind}"] = theirs[f"cls.predictions.decoder.{kind}"]
        expected[f"distilbert.embeddings.LayerNorm.{kind}"] = theirs[f"bert.embeddings.LayerNorm.{kind}"]
    expected["distilbert.embeddings.word_embeddings.weight"] = theirs["bert.embeddings.word_embeddings.weight"]
    # Theirs drops the segments; ours keeps the first one's, in the positions.
    expected["distilbert.embeddings.position_embeddings.weight"] = (
        theirs["bert.embeddings.position_embeddings.weight"] + theirs["bert.embeddings.token_type_embeddings.weight"][0]
    )
    torch.testing.assert_close(dict(ours), expected, rtol=0, atol=0)


def test_a_distilbert_lacks_the_segment_embeddings_and_no_other_parameter(bert: Any) -> None:
    count = sum(parameter.numel() for parameter in bert.parameters())
    segments = bert.bert.embeddings.token_type_embeddings.weight.numel()
    assert sum(parameter.numel() for parameter in to_distilbert(bert).parameters()) == count - segments


def test_the_config_is_berts_under_distilberts_names() -> None:
    bert = make(
        "bert", hidden_act="relu", hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2, pad_token_id=5,
        id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1}, num_labels=2, problem_type="multi_label_classification",
    )  # fmt: skip
    config = to_distilbert(bert).config
    assert (config.dim, config.n_layers, config.n_heads, config.hidden_dim) == (32, 4, 2, 64)
    assert (config.activation, config.dropout, config.attention_dropout) == ("relu", 0.3, 0.2)
    assert (config.pad_token_id, config.max_position_embeddings, config.vocab_size) == (5, 64, 60)
    assert (config.id2label, config.label2id) == ({0: "a", 1: "b"}, {"a": 0, "b": 1})
    assert config.problem_type == "multi_label_classification"


@pytest.mark.parametrize("given, expected", [(None, 0.3), (0.0, 0.0), (0.5, 0.5)])
def test_the_classifiers_dropout_is_berts(given: float | None, expected: float) -> None:
    bert = make("bert", hidden_dropout_prob=0.3, classifier_dropout=given)
    assert to_distilbert(bert).config.seq_classif_dropout == expected


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_dtype_are_berts(bert: Any, training: bool) -> None:
    student = to_distilbert(bert.train(training).to(torch.bfloat16))
    assert (student.training, student.dtype) == (training, torch.bfloat16)


def test_bert_is_left_as_it_is(bert: Any) -> None:
    before = {name: tensor.clone() for name, tensor in bert.state_dict().items()}
    student = to_distilbert(bert)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
    torch.testing.assert_close(dict(bert.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("family", ["roberta", "electra", "distilbert"])
def test_a_distilbert_of_another_family_is_refused(family: str) -> None:
    with pytest.raises(InputError, match=rf"needs a BERT, got the family '{family}'; leave `architecture` out"):
        to_distilbert(make(family))


def test_a_distilbert_of_another_head_is_refused() -> None:
    with pytest.raises(InputError, match=r"needs one of BertModel, BertForMaskedLM, .*, got BertForMultipleChoice"):
        to_distilbert(make("bert", head="ForMultipleChoice"))


def test_a_distilbert_of_relative_positions_is_refused(bert: Any) -> None:
    bert.config.position_embedding_type = "relative_key"
    with pytest.raises(InputError, match="has absolute positions, and this BERT relative_key"):
        to_distilbert(bert)
