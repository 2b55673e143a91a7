"""Batches: every row once, longest first, with its own label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.errors import DataError
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import Rows
from hfcompress.tasks.label_columns import labels_of_data
from hfcompress.tasks.labels import Labels, align
from tests import tiny


@pytest.fixture
def text(load: Callable[..., Rows], reviews: Path) -> Data:
    rows = load(reviews, splits={"train": "train", "validation": "validation"})
    return Data(get_task("text-classification"), rows, labels_of_data(rows.splits["train"], "x"), 32)


@pytest.fixture
def images(load: Callable[..., Rows], digits: Path) -> Data:
    rows = load(digits, task="image-classification", splits={"train": "train"}, limit={"train": 30})
    return Data(get_task("image-classification"), rows, labels_of_data(rows.splits["train"], "x"), 1)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_batches_cover_each_row_once_longest_first(text: Data, size: int) -> None:
    tokenizer = tiny.make_tokenizer()
    prepared = text.prepared("train", tokenizer)
    batches = list(text.batches(prepared, tokenizer, size))
    assert [len(batch["row_id"]) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert sorted(row for batch in batches for row in batch["row_id"]) == list(range(64))
    lengths = np.concatenate([batch["attention_mask"].sum(axis=1) for batch in batches])
    assert (np.diff(lengths) <= 0).all()
    for batch in batches:
        assert batch["input_ids"].shape[1] == batch["attention_mask"].sum(axis=1).max(), "padded to the longest row"


def test_a_batch_keeps_text_label_and_row_id_together(text: Data) -> None:
    tokenizer = tiny.make_tokenizer()
    source = tiny.make_reviews(64, seed=0)
    for batch in text.batches(text.prepared("train", tokenizer), tokenizer, 10):
        for ids, mask, label, row in zip(
            *(batch[n] for n in ("input_ids", "attention_mask", "labels", "row_id")), strict=True
        ):
            assert tokenizer.decode(ids[mask == 1], skip_special_tokens=True) == source[row]["text"]
            assert text.labels.names[label] == source[row]["label"]


def test_labels_are_encoded_in_the_order_of_the_model(text: Data) -> None:
    flipped = align(text.labels, Labels(("positive", "negative"), {}))
    assert isinstance(flipped, Labels)
    tokenizer = tiny.make_tokenizer()
    ours = text.prepared("train", tokenizer)["labels"][:]
    theirs = Data(text.task, text.rows, flipped, 32).prepared("train", tokenizer)["labels"][:]
    assert [1 - label for label in ours] == theirs


def test_images_are_batched_in_their_own_order(images: Data, vit: Path) -> None:
    processor = images.task.load_processor(vit)
    rows = images.rows.splits["train"]
    batches = list(images.batches(images.prepared("train", processor), processor, 8))
    assert [len(batch["labels"]) for batch in batches] == [8, 8, 8, 6]
    assert np.concatenate([batch["row_id"] for batch in batches]).tolist() == rows["row_id"][:]
    assert np.concatenate([batch["labels"] for batch in batches]).tolist() == rows["label"][:]
    expected: dict[str, Any] = images.task.preprocess(rows["image"][:8], processor, 0)
    np.testing.assert_array_equal(batches[0]["pixel_values"], expected["pixel_values"])


def test_a_split_that_the_recipe_does_not_name_is_refused(text: Data) -> None:
    with pytest.raises(DataError, match=r"no split `test` under data\.splits; add it"):
        text.prepared("test", tiny.make_tokenizer())


def test_a_bad_label_stops_prepared_rows_with_its_row(text: Data) -> None:
    known = Labels(("negative", "neutral"), {"negative": 0, "neutral": 1})
    with pytest.raises(DataError, match="split `train` holds the label 'positive' in row"):
        Data(text.task, text.rows, known, 32).prepared("train", tiny.make_tokenizer())
