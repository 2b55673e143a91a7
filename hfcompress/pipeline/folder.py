"""The run folder: where everything of a run lies, and the lock that keeps a second process out."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hfcompress.errors import RunFolderError
from hfcompress.recipe.data import Split


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder."""

    root: Path

    @property
    def results(self) -> Path:
        """`results.json`."""
        return self.root / "results.json"

    @property
    def recipe(self) -> Path:
        """The recipe as it was run, overrides included."""
        return self.root / "recipe.yaml"

    def artifact(self, name: str) -> Path:
        """An artifact's folder."""
        return self.root / "artifacts" / name

    def work(self, name: str, key: str) -> Path:
        """Checkpoints of one stage key."""
        return self.root / "work" / f"{name}-{key[:16]}"

    @property
    def teacher_cache(self) -> Path:
        """What teachers said to the training rows, a folder for each key; kept for further runs."""
        return self.root / "teacher_cache"

    def predictions(self, name: str, split: Split) -> Path:
        """The outputs of an artifact for every row of a split."""
        return self.root / "predictions" / f"{name}-{split}.parquet"

    @property
    def timings(self) -> Path:
        """The samples of the last timing session."""
        return self.root / "logs" / "timings.json"

    @property
    def examples(self) -> Path:
        """Single flipped answers and their rows, as the report shows them: users' own texts and images."""
        return self.root / "examples.json"

    def create(self, needed_bytes: int) -> None:
        """Make the folders.

        Raises:
            RunFolderError: it cannot be written to, or the disk has less than `needed_bytes` free.
        """
        try:
            for name in ("artifacts", "work", "predictions", "logs"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / "logs" / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise RunFolderError(
                f"the run folder {self.root} cannot be written to ({error.strerror}); choose another one with --out"
            ) from error
        free = shutil.disk_usage(self.root).free
        if free < needed_bytes:
            raise RunFolderError(
                f"the run needs about {needed_bytes / 1e9:.1f} GB in {self.root} and the disk has {free / 1e9:.1f} GB "
                "free; make room, or choose another folder with --out"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run folder. The operating system frees the lock when its process dies.

        Raises:
            RunFolderError: another process holds it; says which.
        """
        with (self.root / "lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunFolderError(
                    f"the run folder {self.root} is in use by {_holder(file)}; wait for it, or choose another folder "
                    "with --out"
                ) from error
            _sign(file)
            yield


def _sign(file: IO[str]) -> None:
    file.seek(0)
    file.truncate()
    json.dump({"pid": os.getpid(), "command": Path(sys.argv[0]).name}, file)
    file.flush()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        holder = json.load(file)
        return f"process {int(holder['pid'])} ({holder['command']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
