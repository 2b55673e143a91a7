"""Text: what a batch holds is what the tokenizer itself would pad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hfcompress.errors import DataError, ModelError
from hfcompress.tasks.text_classification import TextClassification
from tests import tiny

TASK = TextClassification()
WORDS = (*tiny.GOOD, *tiny.BAD, *tiny.FILLER, "unheard")
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), min_size=1, max_size=6)


@pytest.fixture(params=["right", "left"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    made = tiny.make_tokenizer()
    made.padding_side = request.param
    return made


def padded(tokenizer: Any, texts: list[str], pairs: list[str] | None = None, max_length: int = 64) -> dict[str, Any]:
    return tokenizer(
        texts, pairs, padding=True, truncation=True, max_length=max_length, return_tensors="np",
        return_token_type_ids=True,
    )  # fmt: skip


def assert_equal(batch: dict[str, np.ndarray], expected: dict[str, Any]) -> None:
    assert set(batch) == set(expected)
    for name, array in batch.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
        assert array.dtype == np.int64


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, max_length=st.integers(3, 16))
def test_preprocess_is_what_the_tokenizer_pads(tokenizer: Any, texts: list[str], max_length: int) -> None:
    batch = TASK.preprocess(texts, tokenizer, max_length)
    assert_equal(batch, dict(padded(tokenizer, texts, max_length=max_length)))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, data=st.data())
def test_preprocess_of_pairs_keeps_their_segments(tokenizer: Any, texts: list[str], data: st.DataObject) -> None:
    seconds = data.draw(st.lists(st.sampled_from(WORDS), min_size=len(texts), max_size=len(texts)))
    batch = TASK.preprocess(list(zip(texts, seconds, strict=True)), tokenizer, 16)
    assert_equal(batch, dict(padded(tokenizer, texts, seconds, 16)))
    assert (batch["token_type_ids"].sum(axis=1) > 0).all(), "the second text is in segment 1"


@pytest.mark.parametrize("examples", [[], "one string", ["a", ("b", "c")], [("a", "b"), "c"], [("a",)], [("a", None)]])
def test_examples_that_are_neither_texts_nor_pairs_are_refused(examples: Any) -> None:
    with pytest.raises(DataError, match="string"):
        TASK.preprocess(examples, tiny.make_tokenizer(), 16)


def rows(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict({**columns, "row_id": list(range(len(columns["text"])))})


def test_prepared_rows_hold_ids_labels_row_ids_and_their_length_in_tokens() -> None:
    prepared = TASK.prepare(rows(text=["good bad", "word1"], label=[1, 0]), tiny.make_tokenizer(), 16)
    assert set(prepared.column_names) == {
        "input_ids", "attention_mask", "token_type_ids", "labels", "row_id", "length",
    }  # fmt: skip
    assert prepared["length"][:] == [4, 3]
    assert prepared["length"][:] == [len(ids) for ids in prepared["input_ids"]]
    assert prepared["labels"][:] == [1, 0]
    assert prepared["row_id"][:] == [0, 1]


def test_prepared_rows_are_cut_to_the_length_and_to_what_the_tokenizer_takes() -> None:
    tokenizer = tiny.make_tokenizer()
    long = rows(text=["good " * 200], label=[0])
    assert TASK.prepare(long, tokenizer, 10)["length"][:] == [10]
    assert TASK.prepare(long, tokenizer, 1000)["length"][:] == [tokenizer.model_max_length]


def test_prepared_pairs_keep_their_segments_and_are_cut_as_the_tokenizer_cuts() -> None:
    tokenizer = tiny.make_tokenizer()
    made = TASK.prepare(rows(text=["good " * 9], text_pair=["bad " * 3], label=[0]), tokenizer, 10)[0]
    expected = tokenizer("good " * 9, "bad " * 3, truncation=True, max_length=10, return_token_type_ids=True)
    assert made["input_ids"] == expected["input_ids"]
    assert made["token_type_ids"] == expected["token_type_ids"]
    assert set(made["token_type_ids"]) == {0, 1}


TOKENS = st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=9), min_size=1, max_size=5)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=TOKENS)
def test_collate_pads_every_row_to_the_longest_on_the_tokenizers_side(tokenizer: Any, ids: list[list[int]]) -> None:
    made = [
        {
            "input_ids": row,
            "attention_mask": [1] * len(row),
            "token_type_ids": [1] * len(row),
            "labels": n,
            "row_id": -n,
        }
        for n, row in enumerate(ids)
    ]
    batch = TASK.collate(tokenizer)(made)
    width = max(map(len, ids))

    def by_hand(row: list[int], value: int) -> list[int]:
        rest = [value] * (width - len(row))
        return rest + row if tokenizer.padding_side == "left" else row + rest

    assert batch["input_ids"].tolist() == [by_hand(row, tokenizer.pad_token_id) for row in ids]
    assert batch["attention_mask"].tolist() == [by_hand([1] * len(row), 0) for row in ids]
    segment = tokenizer.pad_token_type_id
    assert batch["token_type_ids"].tolist() == [by_hand([1] * len(row), segment) for row in ids]
    assert batch["labels"].tolist() == list(range(len(ids)))
    assert batch["row_id"].tolist() == [-n for n in range(len(ids))]


def test_a_made_up_batch_has_exactly_its_shape_and_repeats_with_its_seed() -> None:
    tokenizer = tiny.make_tokenizer()
    batch, again, other = (TASK.grid_batch(tokenizer, 3, 7, seed) for seed in (0, 0, 1))
    assert {array.shape for array in batch.values()} == {(3, 7)}
    assert batch["attention_mask"].all()
    assert batch["input_ids"].max() < len(tokenizer)
    np.testing.assert_array_equal(batch["input_ids"], again["input_ids"])
    assert (batch["input_ids"] != other["input_ids"]).any()


def test_equal_tokenizers_are_compatible() -> None:
    assert TASK.check_compatible(tiny.make_tokenizer(), tiny.make_tokenizer()) is None


def test_another_vocabulary_is_not_compatible() -> None:
    other = tiny.make_tokenizer()
    other.add_tokens(["extra"])
    reason = TASK.check_compatible(tiny.make_tokenizer(), other)
    assert reason is not None
    assert f"({len(other) - 1} and {len(other)} tokens)" in reason


def test_other_special_tokens_are_not_compatible() -> None:
    other = tiny.make_tokenizer()
    other.pad_token = "[MASK]"
    assert "special tokens" in str(TASK.check_compatible(tiny.make_tokenizer(), other))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no tokenizer that can be loaded"):
        TASK.load_processor(tmp_path)


def test_a_tokenizer_without_a_pad_token_is_refused(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=tiny.make_tokenizer().backend_tokenizer).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no pad token; set one"):
        TASK.load_processor(tmp_path)


def test_a_tokenizer_that_brings_its_own_code_is_refused_without_a_question(tmp_path: Path, classifier: Path) -> None:
    config = {"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}, "tokenizer_class": "Tokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text((classifier / "config.json").read_text())
    (tmp_path / "own.py").write_text("raise SystemExit('this code ran')")
    with pytest.raises(ModelError, match="no tokenizer that can be loaded"):
        TASK.load_processor(tmp_path)
