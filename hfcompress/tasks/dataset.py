"""Raw rows: from a recipe's `data` block to checked splits with the columns of the task's roles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hfcompress.errors import DataError
from hfcompress.recipe.data import DataConfig, Split
from hfcompress.recipe.tasks import TASKS, TaskName

if TYPE_CHECKING:
    from datasets import Dataset

_READERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


@dataclass(frozen=True)
class Rows:
    """The splits of a recipe, by role: columns named after the task's roles, and `row_id`.

    Attributes:
        splits: role -> rows after the cap.
        digests: role -> sha256 of the columns and rows, so that two equal files give one digest whatever their dates.
    """

    splits: Mapping[Split, Dataset]
    digests: Mapping[Split, str]


def load_rows(config: DataConfig, task: TaskName, seed: int) -> Rows:
    """Load, check and digest every split that the recipe names.

    Raises:
        DataError: the dataset, a split or a column is missing, or a split is empty; says what is there.
    """
    available = _open(config)
    splits: dict[Split, Dataset] = {}
    for role, name in config.splits.items():
        if name not in available:
            raise DataError(
                f"{config.path} has no split `{name}` (data.splits.{role}); it has: {', '.join(sorted(available))}"
            )
        splits[role] = _roles_only(available[name], config, task, role, seed)
    return Rows(splits, {role: digest_rows(rows) for role, rows in splits.items()})


def _open(config: DataConfig) -> Mapping[str, Dataset]:
    import datasets

    path = Path(config.path)
    try:
        if path.is_file():
            return _open_file(path)
        if (path / "dataset_dict.json").is_file():
            return dict(datasets.load_from_disk(str(path)))
        if (path / "state.json").is_file():
            return {"train": datasets.load_from_disk(str(path))}
        # Anything else is a folder of files named after their splits, or a Hub id.
        return dict(datasets.load_dataset(config.path, config.subset, revision=config.revision))
    except DataError:
        raise
    except (FileNotFoundError, ValueError, ConnectionError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"data.path {config.path!r} cannot be loaded: {_first_line(error)}; give a csv, json or parquet file, a "
            "folder of such files named after their splits, a dataset saved by `save_to_disk`, or a Hub id"
        ) from error


def _open_file(path: Path) -> Mapping[str, Dataset]:
    import datasets

    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"data.path {path} should end in {', '.join(_READERS)}, got {path.suffix or 'no suffix'!r}")
    options = {"sep": "\t"} if path.suffix.lower() == ".tsv" else {}
    return {"train": datasets.load_dataset(reader, data_files=str(path), split="train", **options)}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _roles_only(rows: Dataset, config: DataConfig, task: TaskName, role: Split, seed: int) -> Dataset:
    language = TASKS[task]
    wanted = {name: config.columns.get(name, name) for name in language.required}
    wanted |= {name: config.columns[name] for name in language.optional if name in config.columns}
    for name, column in wanted.items():
        if column not in rows.column_names:
            raise DataError(
                f"split `{config.splits[role]}` of {config.path} has no column `{column}` (data.columns.{name}); "
                f"it has: {', '.join(rows.column_names)}"
            )
    if len(rows) == 0:
        raise DataError(f"split `{config.splits[role]}` of {config.path} has no rows")
    kept = rows.select_columns(list(dict.fromkeys(wanted.values())))
    kept = kept.add_column("row_id", np.arange(len(rows)))
    kept = kept.rename_columns({column: name for name, column in wanted.items() if column != name})
    return _capped(kept, config.limit.get(role), seed)


def _capped(rows: Dataset, limit: int | None, seed: int) -> Dataset:
    if limit is None or limit >= len(rows):
        return rows
    chosen = np.random.default_rng(seed).permutation(len(rows))[:limit]
    return rows.select(np.sort(chosen))


def digest_rows(rows: Dataset) -> str:
    """sha256 over the columns and rows, read in batches; images by their bytes, wherever they are stored."""
    import datasets

    plain = rows
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            plain = plain.cast_column(name, datasets.Image(decode=False))
    digest = hashlib.sha256(json.dumps(sorted(plain.column_names)).encode())
    for batch in plain.iter(batch_size=1000):
        digest.update(json.dumps(batch, sort_keys=True, default=_jsonable).encode())
    names = {name: feature.names for name, feature in rows.features.items() if isinstance(feature, datasets.ClassLabel)}
    digest.update(json.dumps(names, sort_keys=True).encode())
    return digest.hexdigest()


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return repr(value)
