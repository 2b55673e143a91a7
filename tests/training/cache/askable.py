"""Rows of uneven length, and a teacher whose every answer can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from hfcompress.training.answers import Answer, Wants
from hfcompress.training.cache.fill import Questions
from hfcompress.training.cache.identity import Identity
from hfcompress.training.cache.kept import Keep
from hfcompress.training.cache.store import TeacherCache
from hfcompress.training.teachers import Teacher

CLASSES = 5


class PowerCutError(Exception):
    pass


class Arithmetic(Teacher):
    """Says sines of the tokens; stops at call `cut_at`. `level` is what its outputs are of."""

    def __init__(self, level: str = "rows", cut_at: int | None = None, classes: int = CLASSES) -> None:
        self.level, self.cut_at, self.classes = level, cut_at, classes
        self.asked: list[int] = []
        self.calls = 0

    @property
    def name(self) -> str:
        return "arithmetic"

    def answer(self, batch: Mapping[str, Any], wants: Wants | None = None) -> Answer:
        self.calls += 1
        if self.calls == self.cut_at:
            raise PowerCutError
        self.asked += batch["row_id"].tolist()
        tokens = by_hand(batch["input_ids"], self.classes)
        match self.level:
            case "rows":
                return Answer({"logits": (tokens * batch["attention_mask"].unsqueeze(-1)).sum(1)})
            case "spans":
                return Answer({"start_logits": tokens[..., 0], "end_logits": tokens[..., 1]})
        return Answer({"logits": tokens})


def by_hand(input_ids: Tensor, classes: int = CLASSES) -> Tensor:
    return torch.sin(input_ids.unsqueeze(-1) * torch.arange(1.0, classes + 1))


def uneven_rows(count: int, seed: int = 0, ids: Sequence[int] | None = None) -> Dataset:
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(1, 50, size=rng.integers(1, 9)).tolist() for _ in range(count)]
    columns = {"input_ids": tokens, "length": [len(row) for row in tokens]}
    return Dataset.from_dict({**columns, "row_id": list(ids) if ids is not None else list(range(100, 100 + count))})


def collate(rows: Sequence[Mapping[str, Any]], left: bool = False, wider: int = 0) -> dict[str, np.ndarray]:
    """A padded batch; `wider` than its longest row by so many tokens."""
    width = max(len(row["input_ids"]) for row in rows) + wider
    ids, mask = np.zeros((len(rows), width), dtype=np.int64), np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        length = len(row["input_ids"])
        place = slice(width - length, width) if left else slice(length)
        ids[index, place], mask[index, place] = row["input_ids"], 1
    row_id = np.array([row["row_id"] for row in rows], dtype=np.int64)
    return {"input_ids": ids, "attention_mask": mask, "row_id": row_id}


def tensors(batch: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def questions(teacher: Teacher, rows: Dataset, batch_size: int = 4) -> Questions:
    return Questions(teacher, rows, collate, batch_size=batch_size)


def identity(keep: Keep | None = None, **changes: Any) -> Identity:
    fields = {"task": "text-classification", "teacher": "a" * 64, "precision": "float32", "processor": "c" * 64}
    data = {"rows": {"train": "b" * 64}, "max_length": 32}
    return Identity(**{**fields, "data": data, "keep": keep or Keep(), **changes})


def new_cache(folder: Path, keep: Keep | None = None) -> TeacherCache:
    return TeacherCache(folder, identity(keep))
