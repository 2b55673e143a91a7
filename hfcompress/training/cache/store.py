"""The store: shards of outputs, each for a range of prepared rows, found by `row_id`.

    <folder>/identity.json   what it was filled from
             index/          sorted row ids and their places; the layout
             shard-00000/    outputs of the first rows; a manifest with sha256 and sizes
             shard-00001/    ...

A shard is whole or absent. Arrays are memory-mapped, so that memory does not grow with the rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hfcompress.errors import InputError
from hfcompress.training.cache.identity import Identity
from hfcompress.training.cache.kept import Kept, join
from hfcompress.training.cache.row_index import RowIndex, write_index
from hfcompress.training.cache.sealed import fault_of, load_arrays, sealing

_LAYOUT, _OFFSETS = "layout.json", "offsets"


@dataclass(frozen=True)
class Layout:
    """How rows are laid out.

    Attributes:
        rows: of the whole cache.
        shard_rows: of every shard but the last.
        row_bytes: what a row takes on disk, the mean over a sample.
    """

    rows: int
    shard_rows: int
    row_bytes: float

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-self.rows // self.shard_rows)

    def range_of(self, shard: int) -> range:
        """The places of a shard's rows."""
        return range(shard * self.shard_rows, min(self.rows, (shard + 1) * self.shard_rows))


class TeacherCache:
    """A folder of a teacher's outputs.

    Args:
        folder: where it is or will be.
        identity: what it is filled from.

    Raises:
        InputError: the folder was filled from something else; says what differs.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        identity.check_written(folder / "identity.json")
        self.folder, self.identity = folder, identity
        self._index: RowIndex | None = None
        self._layout: Layout | None = None
        self._shards: dict[int, Kept] = {}

    def lay_out(self, layout: Layout, row_ids: Iterable[np.ndarray]) -> None:
        """Begin a cache: write the identity, and the index of all row ids, which come in the order of the rows."""
        self._index = self._layout = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.identity.write(self.folder / "identity.json")
        with sealing(self.folder / "index", layout.rows) as temporary:
            write_index(temporary, row_ids, layout.rows)
            (temporary / _LAYOUT).write_text(json.dumps(asdict(layout)), encoding="utf-8")

    def read_layout(self, rows: int | None = None) -> Layout | None:
        """The layout of a cache that was begun for `rows` rows (None: any number), or None."""
        if self._layout is None and fault_of(self.folder / "index", rows) is None:
            self._layout = Layout(**json.loads((self.folder / "index" / _LAYOUT).read_text(encoding="utf-8")))
        return self._layout

    def write_shard(self, shard: int, kept: Kept) -> None:
        """Write a shard to disk, whole or not at all."""
        self._shards.pop(shard, None)
        with sealing(self._path(shard), len(kept)) as temporary:
            for name, array in kept.arrays.items():
                np.save(temporary / f"{name}.npy", array)
            if kept.offsets is not None:
                np.save(temporary / f"{_OFFSETS}.npy", kept.offsets)

    def fault_of(self, shard: int) -> str | None:
        """None for a shard that is whole, else what is wrong; reads it."""
        return fault_of(self._path(shard), len(self._opened().range_of(shard)))

    def has(self, shard: int) -> bool:
        """Whether a shard was written; says nothing of damage."""
        return self._path(shard).is_dir()

    @property
    def of_tokens(self) -> bool:
        """Whether the outputs are those of tokens; of a cache that is filled."""
        return (self._path(0) / f"{_OFFSETS}.npy").is_file()

    def lookup(self, row_id: np.ndarray) -> Kept:
        """The outputs of rows (N,) by their ids.

        Raises:
            InputError: a row is not in the cache, or its shard is missing or damaged.
        """
        layout = self._opened()
        if self._index is None:
            self._index = RowIndex(**load_arrays(self.folder / "index"))
        shards, rows = np.divmod(self._index.places(row_id), layout.shard_rows)
        return join([self._shard(shard).row(row) for shard, row in zip(shards.tolist(), rows.tolist(), strict=True)])

    def _shard(self, shard: int) -> Kept:
        if shard not in self._shards:
            fault = self.fault_of(shard)
            if fault is not None:
                raise InputError(
                    f"in the teacher cache {self.folder} {fault}; run the stage again, which makes that shard again, "
                    "or set `teacher_cache: off`"
                )
            arrays = load_arrays(self._path(shard))
            offsets = arrays.pop(_OFFSETS, None)
            self._shards[shard] = Kept(arrays, offsets)
        return self._shards[shard]

    def _opened(self) -> Layout:
        layout = self.read_layout()
        if layout is None:
            raise InputError(f"the teacher cache {self.folder} has no index that is whole; fill it first")
        return layout

    def _path(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:05d}"
