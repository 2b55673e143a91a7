"""Inputs and answers as they travel along, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .failures import RefusedError

Batch = dict[str, np.ndarray]
#: Inputs to outputs, by name.
Predict = Callable[[Batch], Batch]


class Packed:
    """Batches in one npz file, `<batch>.<name>` -> array; one batch is in memory at a time.

    Attributes:
        names: of the batches, in order.
    """

    def __init__(self, path: Path) -> None:
        self._file = np.load(path, allow_pickle=False)
        self._keys: dict[str, list[str]] = {}
        for key in self._file.files:
            self._keys.setdefault(key.partition(".")[0], []).append(key)
        self.names = list(self._keys)

    def __getitem__(self, name: str) -> Batch:
        return {key.partition(".")[2]: self._file[key] for key in self._keys.get(name, ())}

    def __iter__(self) -> Iterator[Batch]:
        return (self[name] for name in self.names)


def as_asked(batch: Batch, dtypes: dict[str, Any]) -> Batch:
    """The inputs that a model takes, in its own types."""
    if missing := [name for name in dtypes if name not in batch]:
        raise RefusedError(
            f"the model takes {', '.join(missing)}, which the sample does not hold; make the bundle again"
        )
    return {name: np.ascontiguousarray(batch[name], dtype=dtype) for name, dtype in dtypes.items()}
