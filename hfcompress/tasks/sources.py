"""Where rows come from: files, folders, saved datasets, the Hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hfcompress.errors import DataError
from hfcompress.intake.archive import check_data
from hfcompress.recipe.data import SourceConfig

if TYPE_CHECKING:
    from datasets import Dataset

#: What `datasets` says of a file without rows.
_NO_DATA = re.compile(r'Instruction "(.+?)" corresponds to no data')
_READERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


def open_source(config: SourceConfig, key: str = "data.path") -> Mapping[str, Dataset]:
    """The splits of a dataset by their own names; a single file is `train`. An error calls the path `key`.

    Raises:
        DataError: it cannot be loaded, or a split has no rows.
    """
    import datasets

    path = Path(config.path).expanduser()
    try:
        if path.exists():
            check_data(path)
        if path.is_file():
            return _open_file(path, key)
        if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            return _open_saved(path)
        # Anything else is a folder of files named after their splits, or a Hub id.
        name = str(path) if path.is_dir() else config.path
        return dict(datasets.load_dataset(name, config.subset, revision=config.revision))
    except DataError:
        raise
    except StopIteration as error:  # what `datasets` makes of an empty json file
        raise DataError(f"{config.path} has no rows") from error
    except (FileNotFoundError, ValueError, ConnectionError, datasets.exceptions.DatasetsError) as error:
        if empty := _NO_DATA.search(str(error)):
            raise DataError(f"split `{empty[1]}` of {config.path} has no rows; fill or remove its file") from error
        raise DataError(
            f"{key} {config.path!r} cannot be loaded: {_first_line(error)}; give a csv, json or parquet file, a "
            "folder of such files named after their splits, a dataset saved by `save_to_disk`, or a Hub id"
        ) from error


def _open_saved(path: Path) -> Mapping[str, Dataset]:
    import datasets

    try:
        saved = datasets.load_from_disk(str(path))
    except IndexError as error:  # `save_to_disk` writes no file for a split without rows, and cannot read it again
        raise DataError(f"{path} holds a split that has no rows; save it without that split") from error
    return {"train": saved} if isinstance(saved, datasets.Dataset) else dict(saved)


def _open_file(path: Path, key: str) -> Mapping[str, Dataset]:
    import datasets

    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{key} {path} should end in {', '.join(_READERS)}, got {path.suffix or 'no suffix'!r}")
    options = {"sep": "\t"} if path.suffix.lower() == ".tsv" else {}
    return {"train": datasets.load_dataset(reader, data_files=str(path), split="train", **options)}


def _first_line(error: Exception) -> str:
    """What went wrong; of a file that cannot be parsed the parser's own words, which `datasets` keeps as the cause."""
    import datasets

    if isinstance(error, datasets.exceptions.DatasetGenerationError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
