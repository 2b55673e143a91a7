"""A teacher that was asked once about every row, so that further epochs do not ask it again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from hfcompress.errors import InputError
from hfcompress.progress import Bar
from hfcompress.training.teachers import Teacher


class RecordedTeacher(Teacher):
    """Looks its logits up by `row_id`.

    Sound where a row's inputs are the same in every epoch, as they are without augmentation. Memory is not flat: it
    holds the logits of every row, N x classes float32, which is 8 MB for a million rows of two classes.

    Args:
        model: the teacher, for its labels and vocabulary.
        row_id: (N,) int64, without repetition.
        logits: (N, classes) float32, in the order of `row_id`.
    """

    def __init__(self, model: PreTrainedModel, row_id: np.ndarray, logits: np.ndarray) -> None:
        super().__init__(model)
        order = np.argsort(row_id)
        self._row_id = torch.from_numpy(row_id[order])
        self._logits = torch.from_numpy(logits[order])

    @torch.no_grad()
    def logits(self, batch: Mapping[str, Any]) -> Tensor:
        """The logits [rows, classes] of the rows of a batch, on the device of its `row_id`.

        Raises:
            InputError: a row was not recorded.
        """
        wanted: Tensor = batch["row_id"]
        ids = wanted.cpu()
        places = torch.searchsorted(self._row_id, ids).clamp(max=len(self._row_id) - 1)
        strange = ids[self._row_id[places] != ids]
        if len(strange):
            raise InputError(f"the teacher's logits were not recorded for row {int(strange[0])}; record them anew")
        return self._logits[places].to(wanted.device)


def record_logits(
    teacher: Teacher, batches: Iterable[Mapping[str, np.ndarray]], bar: Bar
) -> tuple[np.ndarray, np.ndarray]:
    """Ask a teacher about every batch, on the device of its model.

    Returns:
        `row_id` (N,) int64 and logits (N, classes) float32.
    """
    device = next(teacher.model.parameters()).device
    ids, logits = [], []
    for batch in batches:
        asked = {name: torch.from_numpy(array).to(device) for name, array in batch.items()}
        logits.append(teacher.logits(asked).float().cpu().numpy())
        ids.append(batch["row_id"])
        bar.advance(len(batch["row_id"]))
    return np.concatenate(ids), np.concatenate(logits)


def write_recorded(path: Path, row_id: np.ndarray, logits: np.ndarray) -> None:
    """Keep recorded logits, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # several processes may write it at once
    with temporary.open("wb") as file:
        np.savez(file, row_id=row_id, logits=logits)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_recorded(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """What `write_recorded` kept, or None."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as kept:
        return kept["row_id"], kept["logits"]
