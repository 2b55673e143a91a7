"""What every student of a recipe starts from, followed through its stages before any of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfcompress.distill.student import float32_bytes, student_config
from hfcompress.errors import InputError, ModelError
from hfcompress.models.loading import load_config
from hfcompress.recipe.recipe import SOURCE
from hfcompress.recipe.student import StudentConfig
from hfcompress.recipe.training_stages import DistillConfig

if TYPE_CHECKING:
    from hfcompress.pipeline.plan import Plan

_WHOLE_SOURCE = StudentConfig()


def check_students(plan: Plan) -> None:
    """Refuse what no student can be made of, and checkpoints that read other tokens or pixels than their teacher.

    Raises:
        InputError: names the stage.
    """
    for name in student_bytes(plan):
        start = plan.student_of(name)
        if start is not None and start in plan.outside:
            _check_processor(plan, name, start, plan.outside[start].path)


def student_bytes(plan: Plan) -> dict[str, int]:
    """Stage -> the size in float32 of the weights of its student, for stages that say what a student starts from.

    Raises:
        InputError: no such student can be made; names the stage.
    """
    configs: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    model_class = plan.data.task.model_class()
    for name in plan.order if _says_anything(plan) else ():
        stage = plan.recipe.stages[name].config
        start = plan.student_of(name) or plan.recipe.source_of(name)
        if start not in configs:
            configs[start] = _config(plan, start)
        configs[name] = configs[start]
        if not isinstance(stage, DistillConfig) or stage.student == _WHOLE_SOURCE:
            continue
        try:
            configs[name] = student_config(configs[start], stage.student)
            sizes[name] = float32_bytes(configs[name], model_class, trust_remote_code=plan.source.trusted)
        except InputError as error:
            raise InputError(f"stages.{name}: {error}") from error
    return sizes


def _says_anything(plan: Plan) -> bool:
    configs = [stage.config for stage in plan.recipe.stages.values()]
    return any(isinstance(config, DistillConfig) and config.student != _WHOLE_SOURCE for config in configs)


def _config(plan: Plan, name: str) -> Any:
    artifact = plan.source if name == SOURCE else plan.outside[name]
    return load_config(artifact.path, trust_remote_code=artifact.trusted)


def _check_processor(plan: Plan, stage: str, start: str, folder: Path) -> None:
    task = plan.data.task
    reason = task.check_compatible(task.load_processor(folder), task.load_processor(plan.source.path))
    if reason is not None:
        raise ModelError(f"stages.{stage}: the student's checkpoint {start} does not fit `from`: {reason}")
