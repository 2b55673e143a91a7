"""Inputs as files, so that a worker needs no tokenizer, no dataset and no library but numpy to read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np


def write_batch(batch: Mapping[str, np.ndarray], path: Path) -> Path:
    """Write one batch as npz, name -> array; returns `path`."""
    np.savez(path, **{name: np.asarray(array) for name, array in batch.items()})  # type: ignore[arg-type]
    return path


def write_batches(batches: Iterable[Mapping[str, np.ndarray]], folder: Path) -> list[Path]:
    """Write batches as files of a new folder, in order: one file each, so that a reader holds one at a time."""
    folder.mkdir()
    return [write_batch(batch, folder / f"{index:06}.npz") for index, batch in enumerate(batches)]


def read_batch(path: Path) -> dict[str, np.ndarray]:
    """Read one batch; a file that holds Python objects is refused, as they would run code."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def rows_of(batch: Mapping[str, np.ndarray]) -> int:
    """Rows of a batch: the length of its arrays."""
    return len(next(iter(batch.values())))
