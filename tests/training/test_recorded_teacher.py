"""A recorded teacher says what the teacher said, by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hfcompress.errors import InputError
from hfcompress.progress import SILENT
from hfcompress.training.recorded_teacher import RecordedTeacher, read_recorded, record_logits, write_recorded
from hfcompress.training.teachers import Teacher
from tests.training.toy import collate, sentence_pairs, tiny_bert


def batches(rows: list[dict[str, object]], size: int) -> list[dict[str, np.ndarray]]:
    return [
        {name: tensor.numpy() for name, tensor in collate(rows[start : start + size]).items()}
        for start in range(0, len(rows), size)
    ]


@pytest.fixture
def recorded() -> tuple[Teacher, RecordedTeacher, list[dict[str, object]]]:
    teacher, rows = Teacher(tiny_bert(seed=1)), list(sentence_pairs(40))
    with SILENT.bar("", len(rows)) as bar:
        row_id, logits = record_logits(teacher, batches(rows, 7), bar)
    return teacher, RecordedTeacher(teacher.model, row_id, logits), rows


def test_it_answers_as_the_teacher_does_for_any_batch(
    recorded: tuple[Teacher, RecordedTeacher, list[dict[str, object]]],
) -> None:
    teacher, memory, rows = recorded
    shuffled = [rows[index] for index in np.random.default_rng(0).permutation(len(rows))]
    for batch in batches(shuffled, 9):
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        torch.testing.assert_close(memory.logits(tensors), teacher.logits(tensors), atol=1e-5, rtol=0)


def test_a_row_that_was_not_recorded_is_named(
    recorded: tuple[Teacher, RecordedTeacher, list[dict[str, object]]],
) -> None:
    with pytest.raises(InputError, match="not recorded for row 77777"):
        recorded[1].logits({"row_id": torch.tensor([1000, 77777])})


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    assert read_recorded(tmp_path / "none.npz") is None
    row_id, logits = np.array([3, 1]), np.array([[0.5, 1.5], [2.0, -1.0]], dtype=np.float32)
    write_recorded(tmp_path / "logits.npz", row_id, logits)
    kept = read_recorded(tmp_path / "logits.npz")
    assert kept is not None
    assert np.array_equal(kept[0], row_id)
    assert np.array_equal(kept[1], logits)
    assert [path.name for path in tmp_path.iterdir()] == ["logits.npz"]
