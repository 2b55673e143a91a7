"""Lengths that are rounded up: few of them, little padding, never more than the model takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hfcompress.runtimes.lengths import most_positions, padded, rounded


def test_a_rounded_length_is_at_most_an_eighth_longer() -> None:
    for length in range(1, 2049):
        assert length <= rounded(length, 4096) <= length * 9 / 8


@pytest.mark.parametrize("most, lengths", [(128, 40), (512, 56)])
def test_few_lengths_are_left(most: int, lengths: int) -> None:
    assert len({rounded(length, most) for length in range(1, most + 1)}) == lengths


def test_no_length_becomes_more_than_the_model_takes() -> None:
    assert [rounded(length, 100) for length in (33, 95, 97, 99, 100)] == [36, 96, 97, 99, 100]


def test_padding_is_zeros_at_the_end_of_what_is_tokens() -> None:
    batch = {"input_ids": np.array([[5, 6]]), "attention_mask": np.array([[1, 1]]), "pixels": np.ones((1, 3, 2))}
    found = padded(batch, 4)
    assert found["input_ids"].tolist() == [[5, 6, 0, 0]]
    assert found["attention_mask"].tolist() == [[1, 1, 0, 0]]
    assert found["pixels"] is batch["pixels"]


@pytest.mark.parametrize(
    "config, most", [({"max_position_embeddings": 64}, 64), ({}, None), ({"max_position_embeddings": -1}, None)]
)
def test_the_config_is_beside_the_graph_or_above_it(config: dict[str, int], most: int | None, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert most_positions(tmp_path / "model.xml") == most_positions(tmp_path / "openvino" / "model.xml") == most
    assert most_positions(tmp_path / "a" / "b" / "model.xml") is None
