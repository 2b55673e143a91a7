"""Raw rows: from a recipe's `data` block to checked splits with the columns of the task's roles."""

from __future__ import annotations

import hashlib
import json
import re
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

#: Roles that hold text.
_TEXTS = ("text", "text_pair")
#: Rows that are read at once for a digest; fewer where a row holds an image.
_BATCH, _IMAGE_BATCH = 1000, 50
#: What `datasets` says of a file without rows.
_NO_DATA = re.compile(r'Instruction "(.+?)" corresponds to no data')
_READERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


@dataclass(frozen=True)
class Rows:
    """The splits of a recipe, by role: columns named after the task's roles, and `row_id`.

    Attributes:
        splits: role -> rows after the cap.
        digests: role -> sha256 of the columns and rows, so that two equal files give one digest whatever their dates.
    """

    splits: Mapping[Split, Dataset]
    digests: Mapping[str, str]


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

    path = Path(config.path).expanduser()
    try:
        if path.is_file():
            return _open_file(path)
        if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            return _open_saved(path)
        # Anything else is a folder of files named after their splits, or a Hub id.
        name = str(path) if path.is_dir() else config.path
        return dict(datasets.load_dataset(name, config.subset, revision=config.revision))
    except DataError:
        raise
    except (FileNotFoundError, ValueError, ConnectionError, datasets.exceptions.DatasetsError) as error:
        if empty := _NO_DATA.search(str(error)):
            raise DataError(f"split `{empty[1]}` of {config.path} has no rows; fill or remove its file") from error
        raise DataError(
            f"data.path {config.path!r} cannot be loaded: {_first_line(error)}; give a csv, json or parquet file, a "
            "folder of such files named after their splits, a dataset saved by `save_to_disk`, or a Hub id"
        ) from error


def _open_saved(path: Path) -> Mapping[str, Dataset]:
    import datasets

    try:
        saved = datasets.load_from_disk(str(path))
    except IndexError as error:  # `save_to_disk` writes no file for a split without rows, and cannot read it again
        raise DataError(f"{path} holds a split that has no rows; save it without that split") from error
    return {"train": saved} if isinstance(saved, datasets.Dataset) else dict(saved)


def _open_file(path: Path) -> Mapping[str, Dataset]:
    import datasets

    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"data.path {path} should end in {', '.join(_READERS)}, got {path.suffix or 'no suffix'!r}")
    options = {"sep": "\t"} if path.suffix.lower() == ".tsv" else {}
    return {"train": datasets.load_dataset(reader, data_files=str(path), split="train", **options)}


def _first_line(error: Exception) -> str:
    """What went wrong; of a file that cannot be parsed the parser's own words, which `datasets` keeps as the cause."""
    import datasets

    if isinstance(error, datasets.exceptions.DatasetGenerationError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
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
    if len(set(wanted.values())) < len(wanted):
        raise DataError(f"data.columns should name each column once, got {wanted}; take a role out")
    kept = rows.select_columns(list(wanted.values()))
    kept = kept.rename_columns({column: name for name, column in wanted.items() if column != name})
    kept = kept.add_column("row_id", np.arange(len(rows)))
    for name in _TEXTS:
        if name in wanted:
            _check_text(kept, name, f"column `{wanted[name]}` of split `{config.splits[role]}` of {config.path}")
    return _capped(kept, config.limit.get(role), seed)


def _check_text(rows: Dataset, name: str, where: str) -> None:
    kind = getattr(rows.features[name], "dtype", type(rows.features[name]).__name__)
    if kind not in ("string", "large_string"):
        raise DataError(f"{where} should hold text, got {kind}; turn it into strings, or name another column")
    if rows.data.column(name).null_count == 0:
        return
    for row, text in enumerate(rows[name]):
        if text is None:
            raise DataError(f"{where} has no text in row {row}; remove such rows or fill them in")


def _capped(rows: Dataset, limit: int | None, seed: int) -> Dataset:
    if limit is None or limit >= len(rows):
        return rows
    chosen = np.random.default_rng(seed).permutation(len(rows))[:limit]
    return rows.select(np.sort(chosen))


def digest_rows(rows: Dataset) -> str:
    """sha256 over the columns and rows, read in batches; images by their bytes, wherever they are stored."""
    import datasets

    images = {name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)}
    digest = hashlib.sha256(json.dumps(sorted(rows.column_names)).encode())
    for table in rows.with_format("arrow").iter(batch_size=_IMAGE_BATCH if images else _BATCH):
        batch = {
            name: _image_bytes(table[name]) if name in images else table[name].to_pylist() for name in rows.features
        }
        digest.update(json.dumps(batch, sort_keys=True, default=_jsonable).encode())
    names = {name: feature.names for name, feature in rows.features.items() if isinstance(feature, datasets.ClassLabel)}
    digest.update(json.dumps(names, sort_keys=True).encode())
    return digest.hexdigest()


def _image_bytes(column: Any) -> list[bytes | None]:
    """The file of each image, whether the column holds it or its path; the path itself does not count."""
    import datasets

    stored: list[bytes | None] = datasets.Image().embed_storage(column.combine_chunks()).field("bytes").to_pylist()
    return stored


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return repr(value)
