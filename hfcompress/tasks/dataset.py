"""Raw rows: from a recipe's `data` block to checked splits with the columns of the task's roles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hfcompress.errors import DataError
from hfcompress.recipe.data import DataConfig, Split, UnlabeledConfig
from hfcompress.recipe.tasks import TASKS, TaskName
from hfcompress.tasks.sources import open_source

if TYPE_CHECKING:
    from datasets import Dataset

#: Roles that hold text.
_TEXTS = ("text", "text_pair", "question", "context")
#: Rows that are read at once for a digest; fewer where a row holds an image.
_BATCH, _IMAGE_BATCH = 1000, 50


@dataclass(frozen=True)
class Rows:
    """The splits of a recipe, by role: columns named after the task's roles, and `row_id`.

    Attributes:
        splits: role -> rows after the cap.
        digests: role, or `unlabeled` -> sha256 of the columns and rows, so that two equal files give one digest
            whatever their dates.
        unlabeled: rows without labels, whose `row_id` goes on after the training split's; None where there are none.
    """

    splits: Mapping[Split, Dataset]
    digests: Mapping[str, str]
    unlabeled: Dataset | None = None


@dataclass(frozen=True)
class _Wanted:
    """The columns that are read of a split.

    Attributes:
        columns: role -> column.
        where: the split, as an error calls it.
        key: where the recipe names columns.
    """

    columns: Mapping[str, str]
    where: str
    key: str = "data.columns"


def load_rows(config: DataConfig, task: TaskName, seed: int) -> Rows:
    """Load, check and digest every split that the recipe names, and its unlabelled rows.

    Raises:
        DataError: the dataset, a split or a column is missing, or a split is empty; says what is there.
    """
    available = open_source(config)
    splits: dict[Split, Dataset] = {}
    for role, name in config.splits.items():
        split = _split(available, name, config.path, f"data.splits.{role}")
        wanted = _Wanted(_columns_of(config, task, role), f"split `{name}` of {config.path}")
        splits[role] = _capped(_roles_only(split, wanted), config.limit.get(role), seed)
    digests: dict[str, str] = {role: digest_rows(rows) for role, rows in splits.items()}
    unlabeled = None
    if config.unlabeled is not None:
        unlabeled = _unlabeled(config, config.unlabeled, task, seed)
        digests["unlabeled"] = digest_rows(unlabeled)
        unlabeled = _renumbered(unlabeled, splits)
    return Rows(splits, digests, unlabeled)


def load_inputs(config: DataConfig, role: Split, task: TaskName, seed: int) -> Dataset:
    """The rows of one split after the cap, without labels, whether the dataset has some or not.

    Raises:
        DataError: the dataset, the split or a column is missing, or there are no rows.
    """
    name = config.splits[role]
    split = _split(open_source(config), name, config.path, f"data.splits.{role}")
    columns = {key: column for key, column in _columns_of(config, task, "train").items() if key not in _labels(task)}
    wanted = _Wanted(columns, f"split `{name}` of {config.path}")
    return _capped(_roles_only(split, wanted), config.limit.get(role), seed)


def has_labels(config: DataConfig, role: Split, task: TaskName) -> bool:
    """Whether a split has every column that its labels, or its evaluation, need."""
    split = _split(open_source(config), config.splits[role], config.path, f"data.splits.{role}")
    wanted = (*_labels(task), *TASKS[task].evaluated)
    return all(config.columns.get(name, name) in split.column_names for name in wanted)


def _labels(task: TaskName) -> tuple[str, ...]:
    return tuple(TASKS[task].labels)


def _split(available: Mapping[str, Dataset], name: str, path: str, key: str) -> Dataset:
    if name not in available:
        raise DataError(f"{path} has no split `{name}` ({key}); it has: {', '.join(sorted(available))}")
    return available[name]


def _columns_of(config: DataConfig, task: TaskName, role: Split) -> dict[str, str]:
    language = TASKS[task]
    roles = (*language.required, *(() if role == "train" else language.evaluated))
    optional = [name for name in language.optional if name in config.columns]
    return {name: config.columns.get(name, name) for name in (*roles, *optional)}


def _unlabeled(config: DataConfig, unlabeled: UnlabeledConfig, task: TaskName, seed: int) -> Dataset:
    """The unlabelled rows, with the roles of the training rows but for their labels."""
    labels = TASKS[task].labels
    roles = [name for name in _columns_of(config, task, "train") if name not in labels]
    columns = {name: unlabeled.columns.get(name, name) for name in roles}
    split = _split(
        open_source(unlabeled, "data.unlabeled.path"), unlabeled.split, unlabeled.path, "data.unlabeled.split"
    )
    wanted = _Wanted(columns, f"split `{unlabeled.split}` of {unlabeled.path}", "data.unlabeled.columns")
    return _capped(_roles_only(split, wanted), unlabeled.limit, seed)


def _renumbered(rows: Dataset, splits: Mapping[Split, Dataset]) -> Dataset:
    first = max(splits["train"]["row_id"]) + 1 if "train" in splits else 0
    return rows.remove_columns("row_id").add_column("row_id", first + np.arange(len(rows)))


def _roles_only(rows: Dataset, wanted: _Wanted) -> Dataset:
    for name, column in wanted.columns.items():
        if column not in rows.column_names:
            raise DataError(
                f"{wanted.where} has no column `{column}` ({wanted.key}.{name}); it has: {', '.join(rows.column_names)}"
            )
    if len(rows) == 0:
        raise DataError(f"{wanted.where} has no rows")
    if len(set(wanted.columns.values())) < len(wanted.columns):
        raise DataError(f"{wanted.key} should name each column once, got {dict(wanted.columns)}; take a role out")
    kept = rows.select_columns(list(wanted.columns.values()))
    kept = kept.rename_columns({column: name for name, column in wanted.columns.items() if column != name})
    kept = kept.add_column("row_id", np.arange(len(rows)))
    for name, column in wanted.columns.items():
        if name in _TEXTS:
            _check_text(kept, name, f"column `{column}` of {wanted.where}")
    return kept


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
