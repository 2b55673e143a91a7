"""A cached teacher says what the teacher says, without running it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    PreTrainedModel,
)

from hfcompress.errors import InputError
from hfcompress.tasks.data import length_sorted_batches
from hfcompress.training.answers import Wants
from hfcompress.training.cache import fill as filling
from hfcompress.training.cache.fill import Questions, fill
from hfcompress.training.cache.kept import Keep, TopK, top_k_log_probs
from hfcompress.training.cached_teacher import CachedTeacher, check_cacheable
from hfcompress.training.heads import head_of
from hfcompress.training.teachers import Teacher
from tests.training.cache.askable import collate, new_cache, tensors, uneven_rows
from tests.training.toy import VOCABULARY, logged, sentence_pairs, tiny_bert, tiny_distilbert, tiny_trainer
from tests.training.toy import collate as pairs

ROWS = uneven_rows(60)
HEADS: dict[str, type[PreTrainedModel]] = {
    "classes": BertForSequenceClassification,
    "tokens": BertForTokenClassification,
    "spans": BertForQuestionAnswering,
    "vocabulary": BertForMaskedLM,
}


def tiny(model: type[PreTrainedModel], seed: int = 1, **changes: Any) -> PreTrainedModel:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    sizes |= {"vocab_size": VOCABULARY, "max_position_embeddings": 32, "num_labels": 3, "initializer_range": 0.3}
    if model is BertForQuestionAnswering:
        sizes["num_labels"] = 2
    return model(BertConfig(**(sizes | changes)))


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Teacher, CachedTeacher]]:
    """A teacher, and the same one cached in shards of 25 rows."""
    monkeypatch.setattr(filling, "_SHARD_ROWS", 25)

    def make(
        model: PreTrainedModel, keep: Keep | None = None, rows: Dataset = ROWS, left: bool = False
    ) -> tuple[Teacher, CachedTeacher]:
        teacher, cache = Teacher(model), new_cache(tmp_path, keep)
        fill(cache, Questions(teacher, rows, partial(collate, left=left), batch_size=8))
        return teacher, CachedTeacher(cache, teacher.name, model.config, head_of(model))

    return make


def shuffled_batches(size: int, **how: Any) -> list[dict[str, torch.Tensor]]:
    order = np.random.default_rng(0).permutation(len(ROWS))
    parts = [order[start : start + size].tolist() for start in range(0, len(order), size)]
    return [tensors(collate([ROWS[row] for row in part], **how)) for part in parts]


@pytest.mark.parametrize(
    ("head", "left"), [*((head, False) for head in HEADS), *((head, True) for head in HEADS if head != "classes")]
)
def test_it_answers_as_the_teacher_does_for_any_batch(
    cached: Callable[..., tuple[Teacher, CachedTeacher]], head: str, left: bool
) -> None:
    model = tiny(HEADS[head])
    if left:  # padding on the left moves the tokens, and what a teacher says about their positions with them
        torch.nn.init.zeros_(model.bert.embeddings.position_embeddings.weight)
    teacher, memory = cached(model, left=left)
    for batch in shuffled_batches(7, left=left, wider=2):
        said, remembered = teacher.answer(batch).outputs, memory.answer(batch).outputs
        assert set(remembered) == set(said)
        for name, value in remembered.items():
            tokens = batch["attention_mask"] == 1 if head != "classes" else ...
            assert value.shape == said[name].shape
            torch.testing.assert_close(value[tokens], said[name][tokens], atol=1e-5, rtol=0)


@pytest.mark.parametrize("head", HEADS)
def test_it_is_bit_equal_for_the_batches_that_the_teacher_was_asked(
    cached: Callable[..., tuple[Teacher, CachedTeacher]], head: str
) -> None:
    teacher, memory = cached(tiny(HEADS[head]))
    for start in (0, 25, 50):
        for batch in length_sorted_batches(ROWS.select(range(start, min(60, start + 25))), collate, 8):
            said, remembered = (asked.answer(tensors(batch)).outputs for asked in (teacher, memory))
            tokens = torch.from_numpy(batch["attention_mask"]) == 1 if head != "classes" else ...
            assert all(torch.equal(remembered[name][tokens], said[name][tokens]) for name in remembered)


def test_of_a_bare_encoder_it_gives_the_embedding(cached: Callable[..., tuple[Teacher, CachedTeacher]]) -> None:
    teacher, memory = cached(tiny(BertModel))
    for batch in shuffled_batches(9):
        states, mask = teacher.answer(batch).outputs["last_hidden_state"], batch["attention_mask"] == 1
        expected = torch.stack([row[real].mean(0) for row, real in zip(states, mask, strict=True)])
        torch.testing.assert_close(memory.answer(batch).outputs["embedding"], expected, atol=1e-5, rtol=0)


def test_with_top_k_it_gives_the_largest_of_each_token_and_the_mass_of_the_others(
    cached: Callable[..., tuple[Teacher, CachedTeacher]],
) -> None:
    teacher, memory = cached(tiny(BertForMaskedLM), Keep(topk=TopK(8, 2.0)))
    assert memory.temperature == 2.0
    for batch in shuffled_batches(9):
        logits, tokens = teacher.answer(batch).outputs["logits"], batch["attention_mask"] == 1
        outputs = memory.answer(batch).outputs
        assert set(outputs) == {"topk_log_probs", "topk_ids", "rest_log_prob"}
        assert outputs["topk_ids"].dtype == torch.int64
        values, ids, rest = top_k_log_probs(logits[tokens], 8, 2.0)
        torch.testing.assert_close(outputs["topk_log_probs"][tokens], values, atol=1e-5, rtol=0)
        torch.testing.assert_close(outputs["rest_log_prob"][tokens], rest, atol=1e-5, rtol=0)
        assert (outputs["topk_ids"][tokens] == ids).float().mean() > 0.99  # equal values may change places
        mass = outputs["topk_log_probs"][tokens].exp().sum(-1) + outputs["rest_log_prob"][tokens].exp()
        torch.testing.assert_close(mass, torch.ones_like(mass))


def test_rows_may_have_been_asked_with_another_tokenizer(
    cached: Callable[..., tuple[Teacher, CachedTeacher]],
) -> None:
    # What the teacher's tokenizer makes of the same rows: other ids, other lengths, another order.
    longer = ROWS.map(lambda row: {"input_ids": [7, *row["input_ids"], 9], "length": row["length"] + 2})
    theirs = longer.select(reversed(range(len(longer))))
    teacher, memory = cached(tiny(BertForSequenceClassification, vocab_size=VOCABULARY + 5), rows=theirs)
    memory.check_matches(tiny(BertForSequenceClassification))
    for batch in shuffled_batches(9):
        asked = tensors(collate([longer[int(row) - 100] for row in batch["row_id"]]))
        expected = teacher.answer(asked).outputs["logits"]
        torch.testing.assert_close(memory.answer(batch).outputs["logits"], expected, atol=1e-5, rtol=0)


def test_tokens_of_another_vocabulary_are_refused(cached: Callable[..., tuple[Teacher, CachedTeacher]]) -> None:
    _, memory = cached(tiny(BertForTokenClassification, vocab_size=VOCABULARY + 5))
    with pytest.raises(InputError, match=r"vocabulary of 69 and the student of 64.*one tokenizer"):
        memory.check_matches(tiny(BertForTokenClassification))


def test_other_labels_are_refused(cached: Callable[..., tuple[Teacher, CachedTeacher]]) -> None:
    _, memory = cached(tiny_bert(seed=1))
    memory.check_matches(tiny_distilbert())
    with pytest.raises(InputError, match=r"labels its outputs 2 \(0: low, 1: high\) and the student 3"):
        memory.check_matches(tiny(BertForSequenceClassification))


@pytest.mark.parametrize("wants", [Wants(hidden_states=True), Wants(projections=frozenset({1}))])
def test_what_lies_inside_the_teacher_is_refused_with_the_way_out(
    cached: Callable[..., tuple[Teacher, CachedTeacher]], wants: Wants
) -> None:
    _, memory = cached(tiny_bert(seed=1))
    for refuses in (partial(memory.answer, shuffled_batches(4)[0]), check_cacheable):
        with pytest.raises(InputError, match=r"holds outputs only.*`teacher_cache: off`"):
            refuses(wants)


def test_a_row_that_was_not_asked_about_is_named(cached: Callable[..., tuple[Teacher, CachedTeacher]]) -> None:
    _, memory = cached(tiny_bert(seed=1))
    with pytest.raises(InputError, match="does not hold row 77777"):
        memory.answer({"row_id": torch.tensor([100, 77777])})


def test_a_student_of_another_task_is_refused(cached: Callable[..., tuple[Teacher, CachedTeacher]]) -> None:
    _, memory = cached(tiny(BertForTokenClassification))
    with pytest.raises(InputError, match="is a token classifier and the student is a classifier"):
        memory.check_matches(tiny(BertForSequenceClassification))


def test_a_student_learns_from_it_as_from_the_teacher(tmp_path: Path) -> None:
    rows, model = sentence_pairs(64), tiny_bert(seed=1)

    def arrays(batch: Any) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in pairs(batch).items()}

    cache = new_cache(tmp_path / "cache")
    fill(cache, Questions(Teacher(model), rows, arrays))
    cached = CachedTeacher(cache, "tiny", model.config, head_of(model))
    losses = []
    for teacher in (Teacher(model), cached):
        trainer = tiny_trainer(tmp_path / "work", model=tiny_distilbert(), teacher=teacher, rows=rows, logging_steps=1)
        trainer.train()
        losses.append(logged(trainer, "loss_kl"))
    assert len(losses[0]) == 4
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
