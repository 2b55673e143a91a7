"""What both models compute while they are profiled: made-up batches of one shape, or batches of a user's rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from hfcompress.recipe.data import Split
from hfcompress.recipe.schema import Schema
from hfcompress.recipe.tasks import TASKS
from hfcompress.tasks.base import Task
from hfcompress.tasks.data import Data

Batch = dict[str, np.ndarray]


class Workload(Schema):
    """How much is computed.

    Attributes:
        batch: rows of a batch.
        sequence: tokens of a made-up batch; not used for images, nor with data.
        rows: rows taken of the data, by the seed.
        passes: how often each model runs all batches, in turns with the other one.
        threads: cores of one call; default: all that this process may use.
        seed: of what is drawn.
    """

    batch: PositiveInt = 8
    sequence: PositiveInt = 64
    rows: PositiveInt = 128
    passes: PositiveInt = 20
    threads: PositiveInt | None = None
    seed: int = 0


def made_up(task: Task, model: Path, workload: Workload) -> list[Batch]:
    """One batch of random tokens or pixels."""
    return [task.grid_batch(task.load_processor(model), workload.batch, workload.sequence, workload.seed)]


def batches_of(data: Data, split: Split, model: Path, workload: Workload) -> list[Batch]:
    """Batches of the data's rows, sorted by length."""
    processor = data.task.load_processor(model)
    prepared = data.prepared(split, processor)
    chosen = np.random.default_rng(workload.seed).permutation(len(prepared))[: workload.rows]
    return list(data.batches(prepared.select(np.sort(chosen)), processor, workload.batch))


def shape_of(task: Task, batch: Batch) -> tuple[int, ...]:
    """Rows and tokens of a batch; rows alone for images."""
    first = batch["input_ids"] if TASKS[task.name].has_sequence else next(iter(batch.values()))
    return tuple(int(size) for size in first.shape[: 2 if TASKS[task.name].has_sequence else 1])
