"""What travels along: rows as a model's inputs, and what the artifact answers to them here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hfcompress.bundle.description import Decision
from hfcompress.bundle.folder import write_batches
from hfcompress.errors import InputError
from hfcompress.progress import Progress
from hfcompress.runtimes.base import Runtime
from hfcompress.tasks.data import Data

if TYPE_CHECKING:
    from datasets import Dataset

#: Bytes of answers that a bundle may hold: those of large vocabularies would be gigabytes.
_MOST_BYTES = 500_000_000
#: The label of a token that has none.
_NO_LABEL = -100


@dataclass(frozen=True)
class Sampler:
    """Rows of a task, and the artifact that answers them here.

    Attributes:
        runtime: the artifact.
        data: the rows.
        processor: the artifact's.
        batch: rows of a batch.
    """

    runtime: Runtime
    data: Data
    processor: Any
    batch: int

    @property
    def decision(self) -> Decision:
        """What of the outputs is compared."""
        problem = self.data.labels.problem
        if self.data.task.name == "feature-extraction" or problem == "regression":
            return "number"
        return "classes" if problem == "multi_label_classification" else "class"

    @property
    def is_judged(self) -> bool:
        """Whether accuracy can be told from single outputs and labels."""
        single = self.data.labels.problem == "single_label_classification"
        return single and self.data.task.name in ("text-classification", "image-classification")

    def write(self, prepared: Dataset, folder: Path, progress: Progress) -> int:
        """Write `sample.npz` and `reference.npz`; gives the number of rows.

        Raises:
            InputError: the answers would take too much room.
        """
        inputs: dict[str, Mapping[str, np.ndarray]] = {}
        answers: dict[str, Mapping[str, np.ndarray]] = {}
        rows, size = 0, 0
        with progress.bar("answers that travel along", len(prepared)) as bar:
            for place, batch in enumerate(self.data.batches(prepared, self.processor, self.batch)):
                key, answered = f"{place:04}", dict(self._answers(batch))
                inputs[key], answers[key] = self.inputs(batch), answered
                rows += len(batch["row_id"])
                size += sum(array.nbytes for array in answered.values())
                _check_size(size / rows, len(prepared))
                bar.advance(len(batch["row_id"]))
        write_batches(inputs, folder / "sample.npz")
        write_batches(answers, folder / "reference.npz")
        return rows

    def inputs(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the model takes of a batch."""
        return {name: np.asarray(batch[name]) for name in self.runtime.input_names}

    def _answers(self, batch: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
        """The outputs of a batch where they mean something, `mask` that says where, and its labels."""
        outputs, task = self.runtime.predict(batch), self.data.task
        mask = self._mask(batch, outputs[task.outputs[0]])
        for name in task.outputs:
            kept = outputs[name] if mask is None else outputs[name][mask]
            yield name, kept.astype(np.float32)
        if mask is not None:
            yield "mask", mask
        if self.is_judged:
            yield "labels", np.asarray(batch["labels"])

    def _mask(self, batch: Mapping[str, np.ndarray], output: np.ndarray) -> np.ndarray | None:
        """Where outputs of single tokens mean something: where there is a label, else where there is a token."""
        if output.ndim < 3:
            return None
        labels, attended = batch.get("labels"), batch.get("attention_mask")
        if self.decision == "class" and labels is not None and labels.shape == output.shape[:2]:
            found: np.ndarray = labels != _NO_LABEL
            return found
        return None if attended is None or attended.shape != output.shape[:2] else attended.astype(np.bool_)


def _check_size(row: float, rows: int) -> None:
    if row * rows > _MOST_BYTES:
        raise InputError(
            f"the answers that travel along would take {row * rows / 1e9:.1f} GB, above {_MOST_BYTES / 1e9:g}; take "
            f"fewer rows: --rows {max(1, int(_MOST_BYTES / row))}"
        )
