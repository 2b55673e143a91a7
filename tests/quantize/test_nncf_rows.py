"""What NNCF calibrates on: each row alone, its text and no padding."""

from __future__ import annotations

import numpy as np
import pytest

from hfcompress.quantize.nncf import _rows

TEXTS = ([5, 6, 7], [8], [3, 4, 5, 6, 7])


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_are_their_text_on_whichever_side_the_padding_is(side: str) -> None:
    def filled(values: list[int]) -> list[int]:
        padding = [0] * (5 - len(values))
        return padding + values if side == "left" else values + padding

    batch = {
        "input_ids": np.array([filled(text) for text in TEXTS]),
        "attention_mask": np.array([filled([1] * len(text)) for text in TEXTS]),
    }
    rows = list(_rows([batch]))
    assert [row["input_ids"].tolist() for row in rows] == [[text] for text in TEXTS]
    assert [row["attention_mask"].tolist() for row in rows] == [[[1] * len(text)] for text in TEXTS]


def test_rows_without_a_mask_are_whole() -> None:
    images = np.arange(24).reshape(2, 3, 2, 2)
    assert [row["pixel_values"].tolist() for row in _rows([{"pixel_values": images}])] == [
        [image.tolist()] for image in images
    ]
