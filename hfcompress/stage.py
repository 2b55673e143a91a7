"""What every stage function is given: `verb(config, inputs, run) -> Artifact`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hfcompress.artifact import Artifact
from hfcompress.progress import SILENT, Progress
from hfcompress.recipe.tasks import TaskName
from hfcompress.tasks.data import Data


@dataclass(frozen=True)
class Inputs:
    """The artifacts that a stage takes.

    Attributes:
        source: what it transforms.
        teachers: models that it learns from; empty for stages that do not distil.
        student: what its student starts from in place of the source, where the recipe names that.
    """

    source: Artifact
    teachers: tuple[Artifact, ...] = ()
    student: Artifact | None = None


@dataclass(frozen=True)
class Run:
    """Where a stage runs.

    Attributes:
        name: the stage's name.
        data: the run's rows.
        seed: seeds everything that draws.
        out: an empty folder that becomes the artifact when the stage returns.
        work: a folder for this stage key alone, kept until its artifact is whole: checkpoints.
        progress: where long work reports.
        teacher_cache: holds a folder for each cache of a teacher's outputs; None: no teacher is cached.
    """

    name: str
    data: Data
    seed: int
    out: Path
    work: Path
    progress: Progress = field(default=SILENT)
    teacher_cache: Path | None = None

    @property
    def task(self) -> TaskName:
        """The task's name."""
        return self.data.task.name
