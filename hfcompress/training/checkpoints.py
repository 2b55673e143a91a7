"""Checkpoints that say whether they are whole: a manifest, written last, with the sha256 and size of every file.

A checkpoint without its manifest is one whose save did not finish. The order of a save is: the files, the manifest,
and only then the deletion of older checkpoints, so that at every moment one intact checkpoint is there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from hfcompress.distributed.world import World

logger = logging.getLogger(__name__)

MANIFEST = "checkpoint-manifest.json"

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


def write_manifest(checkpoint: Path) -> None:
    """Put every file of `checkpoint` on disk, then a manifest with their sha256 and sizes (bytes).

    Raises:
        OSError: a file cannot be read, or the disk is full; then there is no manifest.
    """
    files = {}
    for path in _files(checkpoint):
        _flush(path)
        files[path.relative_to(checkpoint).as_posix()] = {"sha256": _sha256(path), "size": path.stat().st_size}
    unfinished = checkpoint / f"{MANIFEST}.tmp"
    unfinished.write_text(json.dumps({"files": files}, indent=1))
    _flush(unfinished)
    unfinished.replace(checkpoint / MANIFEST)
    # The names too: the folder's own, and its place in the folder above.
    _flush(checkpoint)
    _flush(checkpoint.parent)


def remove_manifest(checkpoint: Path) -> None:
    """Mark `checkpoint` as not whole, before its files change; nothing happens when it does not exist."""
    (checkpoint / MANIFEST).unlink(missing_ok=True)


def verify(checkpoint: Path) -> str | None:
    """None when training can go on from `checkpoint`, else what is wrong, naming the file."""
    manifest = checkpoint / MANIFEST
    if not manifest.is_file():
        return f"{checkpoint.name} has no {MANIFEST}: its save did not finish, or it was saved without its optimizer"
    try:
        files = {
            name: (entry["sha256"], entry["size"]) for name, entry in json.loads(manifest.read_text())["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{checkpoint.name}/{MANIFEST} cannot be read: {type(error).__name__}: {error}"
    faults = (_fault(checkpoint / name, sha256, size) for name, (sha256, size) in files.items())
    return next((f"{checkpoint.name}/{fault}" for fault in faults if fault), None)


def newest_intact(work: Path) -> tuple[Path | None, list[str]]:
    """The intact checkpoint in `work` with the most steps, and why each newer one was skipped.

    Returns:
        The `checkpoint-<step>` folder (None when there is none), and one line for each damaged one above it.
    """
    skipped: list[str] = []
    for checkpoint in sorted(_checkpoints(work), key=step_of, reverse=True):
        fault = verify(checkpoint)
        if fault is None:
            return checkpoint, skipped
        skipped.append(fault)
    return None, skipped


def newest_for_all(work: Path, world: World) -> tuple[Path | None, list[str]]:
    """`newest_intact`, looked for by rank 0 alone: all processes have to go on from the same step."""

    def found() -> str:
        checkpoint, skipped = newest_intact(work)
        return json.dumps([checkpoint and checkpoint.name, skipped])

    name, skipped = json.loads(world.from_main("newest checkpoint", found))
    return (None if name is None else work / name), skipped


def rotate(newest: Path, limit: int | None, best: Path | None = None) -> None:
    """Delete checkpoints beside `newest` until `limit` are left (None: delete none), never `newest` nor `best`.

    Those without a manifest go first, then those with more steps than `newest`, which a run has left behind that went
    back to an earlier one; then the oldest.
    """
    if limit is None:
        return
    checkpoints = sorted(_checkpoints(newest.parent), key=lambda path: _worth(path, step_of(newest)))
    excess = max(0, len(checkpoints) - limit)
    spared = {path.resolve() for path in (newest, best) if path is not None}
    for checkpoint in [path for path in checkpoints if path.resolve() not in spared][:excess]:
        logger.debug("deleting %s: %d checkpoints are kept", checkpoint.name, limit)
        remove_manifest(checkpoint)
        shutil.rmtree(checkpoint)


def step_of(checkpoint: Path) -> int:
    """The step in the name of a `checkpoint-<step>` folder."""
    match = _CHECKPOINT.fullmatch(checkpoint.name)
    return int(match[1]) if match else -1


def _worth(checkpoint: Path, newest_step: int) -> tuple[bool, bool, int]:
    step = step_of(checkpoint)
    return (checkpoint / MANIFEST).is_file(), step <= newest_step, step


def _checkpoints(work: Path) -> Iterable[Path]:
    return [path for path in work.glob("checkpoint-*") if path.is_dir() and step_of(path) >= 0]


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and not path.name.startswith(MANIFEST))


def _fault(path: Path, sha256: str, size: int) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing"
    if path.stat().st_size != size:
        return f"{path.name} has {path.stat().st_size} bytes instead of {size}"
    if _sha256(path) != sha256:
        return f"{path.name} differs from what was saved (sha256)"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
