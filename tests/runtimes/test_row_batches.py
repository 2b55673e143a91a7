"""Rows in batches give what each gives alone, whatever the side of the padding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.runtimes.batching import Batching
from hfcompress.runtimes.load import LoadedModel
from hfcompress.runtimes.row_batches import RowBatches
from hfcompress.runtimes.streams import Streams
from hfcompress.tasks import get_task
from hfcompress.tasks.labels import NO_CLASSES

PAD = 9


class Echo:
    """Answers each token with its id, and each row with the sum of its ids, `width` times."""

    name, threads, input_names = "echo", 1, ("input_ids", "attention_mask", "token_type_ids")

    def __init__(self, output: str, width: int, of_tokens: bool) -> None:
        self.output, self.width, self.of_tokens = output, width, of_tokens

    def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        assert (ids[mask == 0] == PAD).all()
        assert batch["token_type_ids"].shape == ids.shape
        values = ids if self.of_tokens else (ids * mask).sum(axis=1, keepdims=True)
        return {self.output: np.repeat(values[..., None] if self.of_tokens else values, self.width, axis=-1)}


def batches(task: Any, runtime: Echo, side: str, batching: Batching) -> RowBatches:
    processor = SimpleNamespace(pad_token_id=PAD, pad_token_type_id=0, padding_side=side)
    model = LoadedModel(get_task(task), processor, runtime, NO_CLASSES, 64, Path())
    return RowBatches(model, Streams(2), batching, 16)


def rows_of(lengths: list[int]) -> list[dict[str, np.ndarray]]:
    made = [np.random.default_rng(length).integers(10, 99, (1, length)) for length in lengths]
    return [{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in made]


@pytest.mark.parametrize("side", ["left", "right"])
@given(st.lists(st.integers(1, 20), min_size=1, max_size=20), st.integers(1, 8), st.none() | st.integers(1, 80))
def test_outputs_of_tokens_are_those_of_the_row_itself(
    side: str, lengths: list[int], rows: int, tokens: int | None
) -> None:
    made = batches("feature-extraction", Echo("last_hidden_state", 3, True), side, Batching(rows, tokens))
    inputs = rows_of(lengths)
    for row, found in zip(inputs, made.outputs(inputs, None), strict=True):
        np.testing.assert_array_equal(found["last_hidden_state"], np.repeat(row["input_ids"][..., None], 3, axis=-1))


@pytest.mark.parametrize("width", [5, 7, 12])
def test_classes_are_not_cut_where_there_are_as_many_as_tokens(width: int) -> None:
    made = batches("text-classification", Echo("logits", width, False), "right", Batching(8))
    inputs = rows_of([5, 7, 12])
    for row, found in zip(inputs, made.outputs(inputs, None), strict=True):
        assert found["logits"].tolist() == [[row["input_ids"].sum()] * width]


def test_starts_of_answers_are_of_tokens_though_they_have_two_axes() -> None:
    class Starts(Echo):
        def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"start_logits": batch["input_ids"]}

    made = batches("question-answering", Starts("start_logits", 1, True), "right", Batching(8))
    inputs = rows_of([5, 7, 12])
    for row, found in zip(inputs, made.outputs(inputs, None), strict=True):
        np.testing.assert_array_equal(found["start_logits"], row["input_ids"])
