"""What each head compares and counts, against the losses of Transformers' own models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from hfcompress.errors import InputError
from hfcompress.training.heads import Classes, Embedding, Head, Labels, Regression, Spans, Tokens, head_of
from tests.training.toy import bert_config

KINDS: dict[str, tuple[type, dict[str, Any], type[Head]]] = {
    "classes": (BertForSequenceClassification, {"num_labels": 3}, Classes),
    "labels": (
        BertForSequenceClassification,
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        Labels,
    ),
    "regression": (BertForSequenceClassification, {"num_labels": 1}, Regression),
    "tokens": (BertForTokenClassification, {"num_labels": 3}, Tokens),
    "masked tokens": (BertForMaskedLM, {}, Tokens),
    "spans": (BertForQuestionAnswering, {}, Spans),
}


def model_of(kind: str) -> Any:
    cls, config, _ = KINDS[kind]
    torch.manual_seed(0)
    return cls(bert_config(**config)).eval()


def batch_of(kind: str) -> dict[str, Tensor]:
    """Four rows of 7, 5, 7 and 2 tokens with labels for all."""
    torch.manual_seed(1)
    lengths = torch.tensor([7, 5, 7, 2])
    mask = (torch.arange(7) < lengths[:, None]).long()
    batch = {"input_ids": torch.randint(1, 60, (4, 7)) * mask, "attention_mask": mask}
    match kind:
        case "classes":
            return {**batch, "labels": torch.tensor([0, 2, 1, 2])}
        case "labels":
            return {**batch, "labels": torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])}
        case "regression":
            return {**batch, "labels": torch.tensor([0.5, -1.0, 2.0, 0.0])}
        case "tokens" | "masked tokens":
            labels = torch.randint(0, 3, (4, 7)).masked_fill(mask == 0, -100)
            return {**batch, "labels": labels.masked_fill(torch.rand(4, 7) < 0.4, -100)}
        case _:
            return {**batch, "start_positions": torch.tensor([1, 0, 6, 1]), "end_positions": torch.tensor([2, 4, 6, 1])}


def without_label(kind: str, batch: dict[str, Tensor], row: int) -> dict[str, Tensor]:
    """The batch with a row that has no label, as the convention of its head says."""
    nothing = float("nan") if kind in ("labels", "regression") else -100
    names = ("start_positions", "end_positions") if kind == "spans" else ("labels",)
    changed = {name: batch[name].clone() for name in names}
    for labels in changed.values():
        labels[row] = nothing
    return {**batch, **changed}


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_the_label_losses_is_the_loss_of_the_model(kind: str) -> None:
    model, batch = model_of(kind), batch_of(kind)
    head = head_of(model)
    assert type(head) is KINDS[kind][2]
    outputs = model(**batch)
    ours = head.label_losses(outputs, batch, 0.0).sum() / head.labelled(batch).sum()
    torch.testing.assert_close(ours, outputs.loss)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_a_label_adds_nothing_to_the_labels_and_its_share_to_the_comparison(kind: str) -> None:
    model, batch = model_of(kind), batch_of(kind)
    head = head_of(model)
    outputs = model(**{name: batch[name] for name in ("input_ids", "attention_mask")})
    changed = without_label(kind, batch, 2)
    others = [0, 1, 3]
    before = head.label_losses(outputs, batch, 0.0)
    after = torch.where(head.labelled(changed), head.label_losses(outputs, changed, 0.0), 0.0)
    torch.testing.assert_close(after[others], before[others])
    assert after[2].sum() == 0
    assert not head.labelled(changed)[2].any()
    assert len(head.compared(outputs, changed)) == head.compared_count(changed)
    more = 7 - int((batch["labels"][2] != -100).sum()) if "tokens" in kind else 0  # then all of its tokens count
    assert head.compared_count(changed) == head.compared_count(batch) + more


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_flow_through_labels_of_nothing_without_nan(kind: str) -> None:
    model, batch = model_of(kind), without_label(kind, batch_of(kind), 2)
    head = head_of(model)
    outputs = model(**{name: batch[name] for name in ("input_ids", "attention_mask")})
    torch.where(head.labelled(batch), head.label_losses(outputs, batch, 0.0), 0.0).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_padding_is_no_place_for_an_answer() -> None:
    model, batch = model_of("spans"), batch_of("spans")
    head = head_of(model)
    compared = head.compared(model(**batch), batch).softmax(-1)
    assert compared.shape == (8, 7)
    assert (compared[[1, 5], 5:] == 0).all()
    assert (compared[[3, 7], 2:] == 0).all()


def test_an_embedding_is_the_mean_over_real_tokens() -> None:
    torch.manual_seed(0)
    model, batch = BertModel(bert_config()).eval(), batch_of("classes")
    del batch["labels"]
    states = model(**batch).last_hidden_state
    ours = head_of(model).compared({"last_hidden_state": states}, batch)
    for row, length in enumerate((7, 5, 7, 2)):
        torch.testing.assert_close(ours[row], states[row, :length].mean(0))
    given = head_of(model).compared({"embedding": ours}, batch)
    assert given is ours


def test_a_soft_loss_that_does_not_suit_the_head_is_refused_with_those_that_do() -> None:
    for head, name, fitting in (
        (Regression(), "forward_kl", "use mse"),
        (Classes(), "cosine", "use forward_kl or reverse_kl or jsd or mse"),
        (Spans(), "mse", "use forward_kl or reverse_kl or jsd"),
        (Embedding(), "jsd", "use cosine or mse"),
    ):
        with pytest.raises(InputError, match=fitting):
            head.comparison(name)


def test_a_head_that_is_unknown_is_named_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match=r"BertForMultipleChoice has a head.*ForTokenClassification"):
        head_of(BertForMultipleChoice(bert_config()))
