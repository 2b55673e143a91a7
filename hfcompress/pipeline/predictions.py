"""The answers of an artifact for every row of a split, kept so that intervals, flips and comparisons come from data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.artifact import Artifact
from hfcompress.progress import Progress
from hfcompress.recipe.data import Split
from hfcompress.runtimes.answers import answer_split
from hfcompress.runtimes.open import runtime_for
from hfcompress.runtimes.settings import Settings
from hfcompress.tasks.columns import Column, Columns, Ragged
from hfcompress.tasks.data import Data

_KEY = b"hfcompress_key"

#: One artifact's answers on one split, in the order of the split's rows: `row_id` (N,) int64, position in the split
#: before any cap, and what its task keeps (see `Task.predictions` and `Task.gather`).
Predictions = Columns


def predict_split(artifact: Artifact, split: Split, data: Data, progress: Progress, title: str) -> Predictions:
    """Run an artifact over a split. Memory holds what the task keeps of every row, not inputs or other outputs.

    Raises:
        MeasurementError: an output is NaN or infinite.
    """
    processor = data.task.load_processor(artifact.path)
    runtime = runtime_for(
        artifact.path,
        artifact.format,
        data.task.name,
        Settings(artifact.runtime),
        trust_remote_code=artifact.trusted,
    )
    return answer_split(runtime, processor, data, split, progress, title)


def write_predictions(predictions: Predictions, path: Path, key: str) -> None:
    """Write a parquet file, whole or not at all; `key` says what it was made from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: _to_arrow(column) for name, column in predictions.items()})
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table.replace_schema_metadata({_KEY: key.encode()}), temporary)
    temporary.replace(path)


def read_predictions(path: Path, key: str | None = None) -> Predictions | None:
    """What `write_predictions` wrote, or None when there is nothing for this key; without a key, whatever is there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table: Any = pq.read_table(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    if key is not None and (table.schema.metadata or {}).get(_KEY) != key.encode():
        return None
    return {name: _from_arrow(table[name].combine_chunks()) for name in table.column_names}


def _to_arrow(column: Column) -> Any:
    """Ragged rows as lists, arrays of two dimensions as lists of a fixed size."""
    import pyarrow as pa

    if isinstance(column, Ragged):
        ends = np.concatenate([[0], np.cumsum(column.lengths)]).astype(np.int32)
        return pa.ListArray.from_arrays(ends, pa.array(column.values))
    if column.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), column.shape[1])
    return pa.array(column)


def _from_arrow(array: Any) -> Column:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(array.type):
        return np.array(array.flatten()).reshape(len(array), array.type.list_size)
    if pa.types.is_list(array.type):
        return Ragged(np.array(array.flatten()), np.array(array.value_lengths()).astype(np.int64))
    return np.array(array.to_numpy(zero_copy_only=False))
