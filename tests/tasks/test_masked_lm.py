"""Masks depend on the seed and the row alone; what is kept of the logits is the answer and its likelihood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress import load
from hfcompress.errors import DataError, ModelError
from hfcompress.tasks import get_task
from hfcompress.tasks.labels import NO_CLASSES
from hfcompress.tasks.masking import Masking
from tests import tiny

TASK = get_task("masked-lm")
SPECIAL, MASK, VOCABULARY = (0, 1, 2, 3, 4), 4, 60
IDS = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=40)


def rows(texts: list[str], first: int = 0) -> Dataset:
    return Dataset.from_dict({"text": texts, "row_id": list(range(first, first + len(texts)))})


@settings(deadline=None)
@given(ids=IDS, seed=st.integers(0, 2**32 - 1), row=st.integers(0, 2**40))
def test_ordinary_tokens_are_masked_at_least_one_and_never_a_special_one(ids: list[int], seed: int, row: int) -> None:
    found = Masking(MASK, SPECIAL, VOCABULARY, seed).of(ids, row)
    ordinary = [place for place, token in enumerate(ids) if token not in SPECIAL]
    if not ordinary:
        assert found is None
        return
    assert found is not None
    seen, labels = found
    masked = [place for place, label in enumerate(labels) if label != -100]
    assert set(masked) <= set(ordinary)
    assert len(masked) == max(1, round(0.15 * len(ordinary)))
    for place, (token, shown, label) in enumerate(zip(ids, seen, labels, strict=True)):
        if place in masked:
            assert label == token
            assert shown == MASK or shown not in SPECIAL
        else:
            assert shown == token


def test_of_the_masked_tokens_80_in_100_are_hidden_10_are_others_and_10_stay() -> None:
    masking = Masking(MASK, SPECIAL, VOCABULARY, 0)
    ids = np.random.default_rng(0).integers(5, VOCABULARY, (2000, 40))
    made = [masking.of(row.tolist(), index) for index, row in enumerate(ids)]
    seen, labels = (np.array([each[side] for each in made if each]) for side in (0, 1))
    masked = labels != -100
    assert masked.mean() == pytest.approx(0.15)
    hidden, same = (seen == MASK)[masked].mean(), (seen == labels)[masked].mean()
    # Of the random ones one in 55 is the token itself.
    np.testing.assert_allclose((hidden, same), (0.8, 0.1 + 0.1 / 55), atol=0.012)  # four standard errors
    places = masked.sum(axis=0) / masked.sum()
    np.testing.assert_allclose(places, 1 / 40, atol=0.006)


def test_a_row_has_one_mask_wherever_it_stands() -> None:
    tokenizer = tiny.make_tokenizer()
    texts = [row["text"] for row in tiny.make_lines(12)]
    whole = TASK.prepare(rows(texts), tokenizer, 32, 5)
    part = TASK.prepare(rows(texts[4:7], first=4), tokenizer, 32, 5)
    other = TASK.prepare(rows(texts), tokenizer, 32, 6)
    assert part["input_ids"][:] == whole["input_ids"][4:7]
    assert part["labels"][:] == whole["labels"][4:7]
    assert other["labels"][:] != whole["labels"][:]


def test_rows_without_words_are_left_out() -> None:
    prepared = TASK.prepare(rows(["good bad", "", "word1"]), tiny.make_tokenizer(), 16)
    assert prepared["row_id"][:] == [0, 2]
    with pytest.raises(DataError, match="no row has a word that can be masked"):
        TASK.prepare(rows(["", ""]), tiny.make_tokenizer(), 16)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_batch_pads_labels_with_what_does_not_count(side: str) -> None:
    tokenizer = tiny.make_tokenizer()
    tokenizer.padding_side = side
    prepared = TASK.prepare(rows(["good bad word1 word2", "word1"]), tokenizer, 16)
    batch = TASK.collate(tokenizer)([prepared[0], prepared[1]])
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
    for row in range(2):
        assert batch["labels"][row][batch["attention_mask"][row] == 1].tolist() == prepared[row]["labels"]


def test_accuracy_and_perplexity_are_those_of_torchs_cross_entropy() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 7, 11)).astype(np.float32) * 4
    labels = np.where(rng.random((5, 7)) < 0.4, rng.integers(0, 11, (5, 7)), -100)
    labels[:, 0] = 3
    kept = TASK.predictions({"logits": logits}, {"labels": labels}, NO_CLASSES)
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits).flatten(0, 1), torch.from_numpy(labels).flatten())
    counted = labels != -100
    once = np.ones((1, 5))
    assert TASK.statistic("perplexity", kept, NO_CLASSES)(once)[0] == pytest.approx(float(loss.exp()), rel=1e-5)
    right = (logits.argmax(-1) == labels)[counted].mean()
    assert TASK.statistic("accuracy", kept, NO_CLASSES)(once)[0] == pytest.approx(right)
    twice = np.array([[0.0, 2.0, 0.0, 0.0, 1.0]])
    rows_of = torch.from_numpy(np.stack([logits[1], logits[1], logits[4]])), torch.from_numpy(labels[[1, 1, 4]])
    loss = torch.nn.functional.cross_entropy(rows_of[0].flatten(0, 1), rows_of[1].flatten())
    assert TASK.statistic("perplexity", kept, NO_CLASSES)(twice)[0] == pytest.approx(float(loss.exp()), rel=1e-5)


def test_a_loaded_model_fills_each_mask(tmp_path: Path) -> None:
    model = load(tiny.save_bert(tmp_path, head="masked-lm"), threads=1)
    texts = ["good [MASK] bad [MASK]", "[MASK] word1"]
    logits = model.predict(model.preprocess(texts))["logits"]
    places = [[2, 4], [1]]
    tokens: Any = model.processor.convert_ids_to_tokens
    assert model.answer(texts) == [tokens(logits[row][place].argmax(-1).tolist()) for row, place in enumerate(places)]
    with pytest.raises(DataError, match=r"should hold \[MASK\] where a word is asked for, got 'good'"):
        model.answer(["good"])


def test_a_tokenizer_without_a_mask_token_is_refused(encoder: Path, tmp_path: Path) -> None:
    tokenizer = tiny.make_tokenizer()
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no mask token"):
        TASK.load_processor(tmp_path)
