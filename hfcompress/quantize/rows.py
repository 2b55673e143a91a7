"""The rows that static INT8 is calibrated on: chosen by seed, and sorted by length, so that little is padding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.errors import DataError
from hfcompress.recipe.data import DataConfig, Split
from hfcompress.tasks.base import Task
from hfcompress.tasks.data import Data, length_sorted_batches
from hfcompress.tasks.loading import load_prepared_inputs

#: Rows of one batch. Every activation of a batch is in memory at once: 8 rows of 128 tokens take 270 MB in BERT base.
BATCH_ROWS = 8


def calibration_batches(data: Data, processor: Any, samples: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Training rows of a run.

    Raises:
        DataError: there is no training split.
    """
    if "train" not in data.rows.splits:
        raise DataError("calibration reads training rows, and data.splits names no `train`; add it")
    chosen = data.sampled("train", samples, seed)
    return chosen.batches(chosen.prepared("train", processor), processor, BATCH_ROWS)


def unlabelled_batches(
    config: DataConfig, split: Split, task: Task, folder: Path, seed: int = 0
) -> Iterator[dict[str, np.ndarray]]:
    """Rows of a dataset outside a run, as inputs of a model; labels are not read.

    Args:
        config: the dataset; its `limit` says how many rows.
        split: the role of the split.
        task: the model's.
        folder: the model's, with its config and processor.
        seed: chooses the rows.

    Raises:
        DataError: the dataset, the split or a column is missing, or there are no rows.
    """
    prepared = load_prepared_inputs(config, split, task, folder, seed)
    return length_sorted_batches(prepared, task.collate(task.load_processor(folder)), BATCH_ROWS)
