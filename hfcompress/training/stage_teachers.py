"""The teachers of a stage: asked at each step, or once about every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hfcompress.artifact import Artifact
from hfcompress.errors import ModelError
from hfcompress.models.loading import load_model
from hfcompress.recipe.objectives import LOOK_INSIDE
from hfcompress.recipe.training_stages import TaughtConfig
from hfcompress.stage import Inputs, Run
from hfcompress.training.cache.of_run import cached_teacher, what_to_keep

if TYPE_CHECKING:
    from hfcompress.training.arguments import DistillationArguments
    from hfcompress.training.teachers import Teacher


@dataclass(frozen=True)
class Taught:
    """Who is taught, as far as a teacher has to know.

    Attributes:
        processor: what makes the student's inputs of rows.
        rows: how many it trains on.
        arguments: of its training.
    """

    processor: Any
    rows: int
    arguments: DistillationArguments

    @property
    def passes(self) -> float:
        """How often training goes through its rows."""
        given = self.arguments
        if given.max_steps <= 0:
            return float(given.num_train_epochs)
        batch = given.train_batch_size * given.world_size * given.gradient_accumulation_steps
        return float(given.max_steps * batch / self.rows)


def teacher_of(config: TaughtConfig, inputs: Inputs, taught: Taught, run: Run) -> Teacher | None:
    """The teachers of a stage as one; None when nothing is asked of them.

    Raises:
        ModelError: a teacher does not read what the student reads.
        InputError: its cache cannot be filled.
    """
    from hfcompress.training.teachers import Teachers

    if all(part == "label" for part in config.parts()):
        return None
    teachers = [_asked_or_cached(config, each, taught, run) for each in inputs.teachers]
    return teachers[0] if len(teachers) == 1 else Teachers(teachers, config.teacher_weights, config.teacher_choice)


def _asked_or_cached(config: TaughtConfig, artifact: Artifact, taught: Taught, run: Run) -> Teacher:
    """A teacher that is asked at each step, or what it said once about every row."""
    from hfcompress.training.teachers import Teacher

    teacher = Teacher(load_model(artifact.path, run.task, trust_remote_code=artifact.trusted))
    own = run.data.task.load_processor(artifact.path)
    other_inputs = run.data.task.check_compatible(taught.processor, own)
    if other_inputs is not None and not run.data.task.answers_rows:
        raise ModelError(f"{run.name}: the teacher {teacher.name} does not fit the student: {other_inputs}")
    keep = what_to_keep(teacher, config.teacher_cache_top_k, config.temperature)
    looks_inside = any(part in LOOK_INSIDE for part in config.parts())
    small = keep.topk is not None or keep.dtype == "float32"
    pays = run.teacher_cache is not None and taught.passes > 1 and small and not looks_inside
    if config.teacher_cache == "on" or other_inputs is not None or (config.teacher_cache == "auto" and pays):
        reads = taught.processor if other_inputs is None else own
        return cached_teacher(teacher, artifact, reads, taught.arguments, run, keep)
    return teacher
