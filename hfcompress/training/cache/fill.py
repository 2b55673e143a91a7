"""Filling a teacher cache: every row is asked for once, by any number of processes, and a stop loses one shard each."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from hfcompress.errors import InputError
from hfcompress.progress import SILENT, Progress
from hfcompress.tasks.base import Collate
from hfcompress.tasks.data import length_sorted_batches
from hfcompress.training.cache.kept import Keep, Kept, join, keep_outputs
from hfcompress.training.cache.store import Layout, TeacherCache
from hfcompress.training.teachers import Teacher

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

#: A shard is what is lost by a stop, and what is in memory at once: at most so many rows and about so many bytes.
_SHARD_ROWS, _SHARD_BYTES = 1 << 12, 1 << 26
#: So many shards or more share small data out evenly over processes, but fewer rows could not be sorted by length.
_SHARDS, _FEWEST_ROWS = 16, 1 << 9
#: Rows that are asked before filling, to know what a row takes.
_SAMPLE = 64
#: A batch of 32 such rows is 32 MB to read in every step.
_LARGEST_ROW_BYTES = 1 << 20
_INDEX_BYTES = 16
#: Bytes of a row from which on less could be kept of it.
_WIDE = 1 << 10
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Questions:
    """A teacher, and what it is asked.

    Attributes:
        teacher: on its device.
        rows: the teacher's prepared rows, with `row_id`; another tokenizer than the student's is no matter here.
        collate: rows -> a batch, `row_id` included.
        device: where the teacher is.
        batch_size: rows of one call.

    Raises:
        InputError: the rows have no `row_id`.
    """

    teacher: Teacher
    rows: Dataset
    collate: Collate
    device: torch.device | str = "cpu"
    batch_size: int = 32

    def __post_init__(self) -> None:
        if "row_id" not in self.rows.column_names:
            raise InputError(
                f"a teacher cache finds rows by their row_id, and these have only {', '.join(self.rows.column_names)}; "
                'add one: rows.add_column("row_id", range(len(rows)))'
            )

    def ask(self, places: np.ndarray | range, keep: Keep, tell: Callable[[int], None] = lambda rows: None) -> Kept:
        """What the teacher says to the rows at some places, in the order of these places.

        Args:
            places: of the prepared rows.
            keep: what is kept of the outputs.
            tell: is told the number of rows after each batch.
        """
        rows = self.rows.select(places)
        seen, parts = [], []
        for batch in length_sorted_batches(rows, self.collate, self.batch_size):
            tensors = {name: torch.from_numpy(array).to(self.device) for name, array in batch.items()}
            parts.append(keep_outputs(self.teacher.answer(tensors).outputs, tensors, keep))
            seen.append(batch["row_id"])
            tell(len(batch["row_id"]))
        return join(parts).take(_found(next(row_ids_of(rows, len(rows))), np.concatenate(seen)))


@dataclass(frozen=True)
class Processes:
    """The processes that fill a cache together.

    Attributes:
        rank: of this one.
        world: how many there are.
        wait: returns when all of them have called it.
    """

    rank: int = 0
    world: int = 1
    wait: Callable[[], None] = lambda: None


_ALONE = Processes()


def fill(cache: TeacherCache, questions: Questions, processes: Processes = _ALONE, progress: Progress = SILENT) -> None:
    """Ask the teacher for every row that the cache does not hold, and write what it says.

    Process r of w makes the shards r, r + w, ...; a damaged shard is made again. Returns when all shards are there.

    Raises:
        InputError: the outputs are too large for a cache, or for the disk; or what `keep_outputs` refuses.
        DataError: a row id comes twice.
        TrainingDivergedError: the teacher answered NaN or infinity.
    """
    if processes.rank == 0:
        _begin(cache, questions)
    processes.wait()
    layout = cache.read_layout(len(questions.rows))
    if layout is None:
        raise InputError(
            f"the teacher cache {cache.folder} that process 0 began is not seen by process {processes.rank}; processes "
            "on several machines need a shared folder"
        )
    missing = [shard for shard in range(processes.rank, layout.shards, processes.world) if not _is_whole(cache, shard)]
    total = sum(len(layout.range_of(shard)) for shard in missing)
    if total:
        with progress.bar(f"teacher's outputs, {questions.teacher.name}", total) as bar:
            for shard in missing:
                cache.write_shard(shard, questions.ask(layout.range_of(shard), cache.identity.keep, bar.advance))
    processes.wait()


def estimate(questions: Questions, keep: Keep) -> int:
    """The bytes that a cache of all rows will take on disk, from what a sample of them takes."""
    return int(len(questions.rows) * (_row_bytes(questions, keep) + _INDEX_BYTES))


def row_ids_of(rows: Dataset, size: int) -> Iterator[np.ndarray]:
    """The row ids in order, `size` at a time."""
    for chunk in rows.select_columns("row_id").with_format("numpy").iter(batch_size=size):
        yield np.asarray(chunk["row_id"], dtype=np.int64)


def _found(wanted: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Where in `seen` each of `wanted` is."""
    order = np.argsort(seen)
    found: np.ndarray = order[np.searchsorted(seen, wanted, sorter=order).clip(max=len(seen) - 1)]
    if len(seen) != len(wanted) or (seen[found] != wanted).any():
        raise InputError("the collator gives other row ids than the rows have; let it carry `row_id` through")
    return found


def _begin(cache: TeacherCache, questions: Questions) -> None:
    rows = len(questions.rows)
    layout = cache.read_layout(rows)
    if layout is None:
        row_bytes = _row_bytes(questions, cache.identity.keep)
        _check_row(row_bytes, rows, cache.identity.keep)
        layout = Layout(rows, _shard_rows(rows, row_bytes), row_bytes)
        _check_space(cache, layout)
        cache.lay_out(layout, row_ids_of(questions.rows, _CHUNK))
    else:
        _check_space(cache, layout)


def _shard_rows(rows: int, row_bytes: float) -> int:
    return max(1, min(_SHARD_ROWS, int(_SHARD_BYTES / row_bytes), max(_FEWEST_ROWS, -(-rows // _SHARDS))))


def _row_bytes(questions: Questions, keep: Keep) -> float:
    places = np.unique(np.linspace(0, len(questions.rows) - 1, _SAMPLE).astype(np.int64))
    parts = np.array_split(places, -(-len(places) // questions.batch_size))  # all at once may be too large for memory
    return max(1.0, sum(questions.ask(part, keep).nbytes for part in parts) / len(places))


def _check_row(row_bytes: float, rows: int, keep: Keep) -> None:
    if row_bytes > _LARGEST_ROW_BYTES:
        smaller = "set `teacher_cache_top_k: 64`" if keep.topk is None else "lower teacher_cache_top_k"
        raise InputError(
            f"a teacher cache of {rows} rows would take about {_gb(rows * row_bytes)} in full, {row_bytes / 1e6:.1f} "
            f"MB a row; {smaller}, or `teacher_cache: off`"
        )


def _check_space(cache: TeacherCache, layout: Layout) -> None:
    rows = sum(len(layout.range_of(shard)) for shard in range(layout.shards) if not cache.has(shard))
    needed = rows * (layout.row_bytes + _INDEX_BYTES)
    existing = next(folder for folder in (cache.folder, *cache.folder.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        smaller = "" if cache.identity.keep.topk or layout.row_bytes < _WIDE else "set `teacher_cache_top_k: 64`, "
        raise InputError(
            f"the teacher cache needs about {_gb(needed)} in {cache.folder} and the disk has {_gb(free)} free; make "
            f"room, {smaller}or set `teacher_cache: off`"
        )


def _is_whole(cache: TeacherCache, shard: int) -> bool:
    fault = cache.fault_of(shard)
    if fault is not None and cache.has(shard):
        logger.warning("teacher cache: a shard is made again: %s", fault)
    return fault is None


def _gb(size: float) -> str:
    return f"{size / 1e9:.3g} GB"
