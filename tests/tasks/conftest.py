"""One table of rows, written in every format that is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from hfcompress.recipe.data import DataConfig
from hfcompress.recipe.tasks import TaskName
from hfcompress.tasks.dataset import Rows, load_rows

TABLE = {"text": ["a fine day", "a dull film", 'great, "fun"', "poor"], "label": ["pos", "neg", "pos", "neg"]}


def write(path: Path, columns: dict[str, list[Any]] = TABLE) -> Path:
    """A file in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = Dataset.from_dict(columns)
    match path.suffix:
        case ".csv":
            rows.to_csv(path, index=False)
        case ".tsv":
            rows.to_csv(path, index=False, sep="\t")
        case ".jsonl":
            rows.to_json(path)
        case ".json":
            path.write_text(json.dumps([dict(row) for row in rows]))
        case ".parquet":
            rows.to_parquet(path)
        case "":
            DatasetDict({"train": rows}).save_to_disk(str(path))
        case ".single":
            rows.save_to_disk(str(path))
    return path


@pytest.fixture
def load() -> Callable[..., Rows]:
    """Rows of a path; only `train` unless `splits` says otherwise."""

    def load(path: Path | str, *, task: TaskName = "text-classification", seed: int = 0, **config: Any) -> Rows:
        return load_rows(DataConfig(**{"path": str(path), "splits": {"train": "train"}, **config}), task, seed)

    return load
