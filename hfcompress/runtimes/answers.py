"""The answers of a loaded model to every row of a split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hfcompress.errors import MeasurementError
from hfcompress.progress import Progress
from hfcompress.recipe.data import Split
from hfcompress.runtimes.base import Runtime
from hfcompress.tasks.columns import Columns, concatenate, take
from hfcompress.tasks.data import Data


def answer_split(runtime: Runtime, processor: Any, data: Data, split: Split, progress: Progress, title: str) -> Columns:
    """Run a model over a split. Memory holds what the task keeps of every row, not inputs or other outputs.

    Raises:
        MeasurementError: an output is NaN or infinite.
    """
    prepared = data.prepared(split, processor)
    parts: list[Columns] = []
    with progress.bar(title, len(prepared)) as bar:
        for batch in data.batches(prepared, processor, data.task.predict_rows):
            outputs = runtime.predict(batch)
            _check_finite({name: outputs[name] for name in data.task.outputs}, title)
            kept = data.task.predictions(outputs, batch, data.labels)
            parts.append({"row_id": batch["row_id"], **kept})
            bar.advance(len(batch["row_id"]))
    order = np.argsort(np.concatenate([np.asarray(part["row_id"]) for part in parts]), kind="stable")
    joined = {name: take(concatenate([part[name] for part in parts]), order) for name in parts[0]}
    return data.task.gather(joined, data.rows.splits[split])


def _check_finite(outputs: Mapping[str, np.ndarray], title: str) -> None:
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            count = np.count_nonzero(~np.isfinite(values))
            raise MeasurementError(f"{title}: {count} of {values.size} numbers in `{name}` are NaN or infinite")
