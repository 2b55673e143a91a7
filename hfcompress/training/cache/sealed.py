"""A folder of arrays that is whole or absent, and that shows when it was damaged afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from hfcompress.artifact import MANIFEST, FileEntry, hash_folder, writing


class _Seal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    files: dict[str, FileEntry]


@contextmanager
def sealing(folder: Path, rows: int) -> Iterator[Path]:
    """A temporary folder to write arrays into; it becomes `folder`, with a manifest, when the block ends well."""
    with writing(folder) as temporary:
        yield temporary
        seal = _Seal(rows=rows, files=hash_folder(temporary))
        (temporary / MANIFEST).write_text(json.dumps(seal.model_dump(), indent=1) + "\n", encoding="utf-8")


def fault_of(folder: Path, rows: int | None = None) -> str | None:
    """None for a folder that is as it was written, else what is wrong; reads every file.

    Args:
        folder: a sealed folder, or the place of one.
        rows: how many it should have; None: any number.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return f"{folder.name} is missing"
    try:
        seal = _Seal.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError):
        return f"{folder.name}/{MANIFEST} cannot be read"
    if rows is not None and seal.rows != rows:
        return f"{folder.name} has {seal.rows} rows instead of {rows}"
    found = hash_folder(folder)
    changed = sorted(name for name in found.keys() | seal.files.keys() if found.get(name) != seal.files.get(name))
    return f"{folder.name}/{changed[0]} is not as it was written (sha256)" if changed else None


def load_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Every array of a folder by the name of its file, memory-mapped."""
    # Not `np.memmap` itself, whose every slice costs a call into Python.
    return {path.stem: np.asarray(np.load(path, mmap_mode="r")) for path in sorted(folder.glob("*.npy"))}
