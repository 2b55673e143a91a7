"""Out of memory: smaller batches and more accumulation, so that every optimizer step sees the rows that it would have.

One process tries again at once. Of several, the one that ran out cannot call the others back from the collective that
they wait in, so the whole job ends; what to try next is recorded in the stage's work folder, and the next launch
begins with it. `hfcompress run --accelerate` launches again by itself, and so does `--max_restarts` of accelerate.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch

from hfcompress.errors import SmallerBatchError, StageError

_RECORD = "smaller-batches.json"

T = TypeVar("T")


@dataclass(frozen=True)
class SmallerBatch:
    """One step down.

    Attributes:
        per_device_train_batch_size: rows of one forward pass on one device from here on.
        gradient_accumulation_steps: passes of one optimizer step from here on; the product stays.
        ran_out_at: rows of one forward pass on one device that were too many.
    """

    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    ran_out_at: int

    @property
    def rows(self) -> int:
        """Rows of one device in one optimizer step."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps


def halve_batch(per_device_batch: int, accumulation: int) -> tuple[int, int]:
    """At most half the rows in each pass, and as many more passes that their product stays exactly.

    Where half of them does not divide the product, the next smaller number that does: (15, 1) gives (5, 3).

    Raises:
        StageError: one row is all there is in a pass.
    """
    if per_device_batch == 1:
        raise StageError(
            "out of memory with one row in each pass; shorten `data.max_length`, take a smaller model, set "
            "`gradient_checkpointing: true` under `training`, or use a device with more memory"
        )
    rows = per_device_batch * accumulation
    smaller = next(size for size in range(per_device_batch // 2, 0, -1) if rows % size == 0)
    return smaller, rows // smaller


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU's allocator raises a plain RuntimeError; its wording differs between systems.
    words = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in words)


def steps_down(work: Path) -> list[SmallerBatch]:
    """What was recorded in a work folder, oldest first; empty when memory always sufficed."""
    path = work / _RECORD
    return [SmallerBatch(**step) for step in json.loads(path.read_text())] if path.is_file() else []


def with_smaller_batches(
    train: Callable[[int, int], T],
    per_device_batch: int,
    accumulation: int,
    work: Path,
    on_retry: Callable[[SmallerBatch], None],
    processes: int = 1,
) -> T:
    """Call `train(per_device_batch, accumulation)`, with fewer rows in each pass as often as memory runs out.

    Args:
        train: builds model and trainer anew, goes on from the newest checkpoint, and leaves nothing on the device when
            it fails.
        per_device_batch, accumulation: what the user asked for.
        work: a folder of this stage key alone; the record in it is where a stopped run goes on.
        on_retry: is told of each step down.
        processes: of the job.

    Raises:
        StageError: out of memory with one row.
        SmallerBatchError: out of memory in one of several processes; the next launch goes on.
    """
    done = steps_down(work)
    if done and done[-1].rows != per_device_batch * accumulation:
        done = []  # of another training
    if done:
        per_device_batch, accumulation = done[-1].per_device_train_batch_size, done[-1].gradient_accumulation_steps
    while True:
        try:
            return train(per_device_batch, accumulation)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            step = SmallerBatch(*halve_batch(per_device_batch, accumulation), ran_out_at=per_device_batch)
            _record(work, [*done, step])
            if processes > 1:
                raise SmallerBatchError(
                    f"out of memory with {per_device_batch} rows in each pass; run the same command again: it goes on "
                    f"with {step.per_device_train_batch_size}, and {step.gradient_accumulation_steps} passes a step"
                ) from error
        # Outside of `except`: the error's traceback holds on to the tensors of the step that failed.
        _free()
        on_retry(step)
        done.append(step)
        per_device_batch, accumulation = step.per_device_train_batch_size, step.gradient_accumulation_steps


def _record(work: Path, steps: list[SmallerBatch]) -> None:
    # Several processes may run out at once, and record the same.
    temporary = work / f".{_RECORD}.{os.getpid()}"
    temporary.write_text(json.dumps([asdict(step) for step in steps]))
    temporary.replace(work / _RECORD)


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
