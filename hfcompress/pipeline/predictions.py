"""The outputs of an artifact for every row of a split, kept so that intervals, flips and comparisons come from data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.artifact import Artifact
from hfcompress.progress import Progress
from hfcompress.recipe.data import Split
from hfcompress.runtimes.open import runtime_for
from hfcompress.tasks.data import Data

_KEY = b"hfcompress_key"
#: Rows of one call while predicting: padding is small since rows are sorted by length.
_BATCH = 32


@dataclass(frozen=True)
class Predictions:
    """One artifact's answers on one split, in the order of the split's rows.

    Attributes:
        row_id: (N,) int64, position in the split before any cap.
        labels: (N,) int64 class ids.
        predictions: (N,) int64 class ids.
        logits: (N, classes) float32.
    """

    row_id: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    logits: np.ndarray


def predict_split(artifact: Artifact, split: Split, data: Data, progress: Progress, title: str) -> Predictions:
    """Run an artifact over a split. Memory holds the logits of all rows, not their inputs.

    Raises:
        MeasurementError: a logit is NaN or infinite.
    """
    processor = data.task.load_processor(artifact.path)
    prepared = data.prepared(split, processor)
    runtime = runtime_for(artifact.path, artifact.format, data.task.name, trust_remote_code=artifact.trusted)
    parts: dict[str, list[np.ndarray]] = {"row_id": [], "labels": [], "logits": []}
    with progress.bar(title, len(prepared)) as bar:
        for batch in data.batches(prepared, processor, _BATCH):
            parts["logits"].append(runtime.predict(batch)["logits"].astype(np.float32))
            parts["row_id"].append(batch["row_id"])
            parts["labels"].append(batch["labels"])
            bar.advance(len(batch["row_id"]))
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    order = np.argsort(joined["row_id"], kind="stable")
    logits = _finite(joined["logits"][order], title)
    predictions = data.task.predictions({"logits": logits})
    return Predictions(joined["row_id"][order], joined["labels"][order], predictions, logits)


def _finite(logits: np.ndarray, title: str) -> np.ndarray:
    from hfcompress.errors import MeasurementError

    if not np.isfinite(logits).all():
        raise MeasurementError(f"{title}: {np.count_nonzero(~np.isfinite(logits))} outputs are NaN or infinite")
    return logits


def write_predictions(predictions: Predictions, path: Path, key: str) -> None:
    """Write a parquet file, whole or not at all; `key` says what it was made from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "row_id": predictions.row_id,
            "label": predictions.labels,
            "prediction": predictions.predictions,
            "logits": pa.array(list(predictions.logits), type=pa.list_(pa.float32())),
        }
    )
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table.replace_schema_metadata({_KEY: key.encode()}), temporary)
    temporary.replace(path)


def read_predictions(path: Path, key: str) -> Predictions | None:
    """Read what `write_predictions` wrote, or None when there is nothing for this key."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table: Any = pq.read_table(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    if (table.schema.metadata or {}).get(_KEY) != key.encode():
        return None
    logits = np.array(table["logits"].to_pylist(), dtype=np.float32)
    columns = [table[name].to_numpy() for name in ("row_id", "label", "prediction")]
    return Predictions(columns[0], columns[1], columns[2], logits)
