"""What every stage function is given: `verb(config, inputs, run) -> Artifact`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from hfcompress.artifact import Artifact
from hfcompress.errors import StageError
from hfcompress.progress import SILENT, Progress
from hfcompress.recipe.tasks import TaskName
from hfcompress.results import Difference, Interval
from hfcompress.tasks.columns import Columns
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
class Score:
    """What an artifact is worth on the rows of a `Judge`.

    Attributes:
        name: the artifact's folder.
        metrics: metric -> value with its interval.
        difference: metric -> paired difference to what it was scored against; empty without that.
        answers: row by row, to pair others with.
    """

    name: str
    metrics: Mapping[str, Interval]
    difference: Mapping[str, Difference]
    answers: Columns


class Judge(Protocol):
    """Measures what a searching stage tries, as the pipeline measures artifacts, on validation rows alone."""

    def score(self, artifact: Artifact, against: Score | None = None) -> Score:
        """Every metric of the recipe; with `against` also the paired difference on the same rows."""

    def time(self, artifacts: Mapping[str, Artifact]) -> dict[str, list[float]]:
        """Seconds of each pass over the data's own lengths; pass i of all of them ran in the same round."""

    def batches(self, artifact: Artifact) -> Iterator[dict[str, np.ndarray]]:
        """The rows as an artifact's processor makes them, sorted by length."""

    def sampled(self, rows: int) -> Judge:
        """The same on at most so many of the rows, chosen by the recipe's seed."""


class _NoJudge:
    """For a stage that runs outside a recipe."""

    def _refuse(self) -> StageError:
        return StageError("this stage searches by metrics on validation rows, and got none; run it from a recipe")

    def score(self, artifact: Artifact, against: Score | None = None) -> Score:
        raise self._refuse()

    def time(self, artifacts: Mapping[str, Artifact]) -> dict[str, list[float]]:
        raise self._refuse()

    def batches(self, artifact: Artifact) -> Iterator[dict[str, np.ndarray]]:
        raise self._refuse()

    def sampled(self, rows: int) -> Judge:
        raise self._refuse()


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
        judge: measures what a stage that searches tries.
    """

    name: str
    data: Data
    seed: int
    out: Path
    work: Path
    progress: Progress = field(default=SILENT)
    teacher_cache: Path | None = None
    judge: Judge = field(default=_NoJudge())

    @property
    def task(self) -> TaskName:
        """The task's name."""
        return self.data.task.name

    def score(self, artifact: Artifact, against: Score | None = None) -> Score:
        """See `Judge.score`."""
        return self.judge.score(artifact, against)

    def time(self, artifacts: Mapping[str, Artifact]) -> dict[str, list[float]]:
        """See `Judge.time`."""
        return self.judge.time(artifacts)
