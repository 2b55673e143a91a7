"""Everything that can be known and refused before any long work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hfcompress.artifact import Artifact, digest_of, model_bytes
from hfcompress.errors import DataError, InputError, ModelError
from hfcompress.extras import require
from hfcompress.host import describe_host
from hfcompress.models.fake_quant.folder import read_structure
from hfcompress.models.folder import check_safe, files_of, read_config, resolve, task_of
from hfcompress.pipeline.dispatch import code_of
from hfcompress.pipeline.engines import check_engines, check_half
from hfcompress.pipeline.gates import check_speed_bounds
from hfcompress.pipeline.students import check_students, student_bytes
from hfcompress.quantize.targets import check_dynamic, scheme_for
from hfcompress.recipe.data import Split
from hfcompress.recipe.graph import inputs_of, stage_order
from hfcompress.recipe.objectives import LOOK_INSIDE
from hfcompress.recipe.recipe import SOURCE, Recipe
from hfcompress.recipe.schema import ModelRef
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.recipe.tasks import Metric
from hfcompress.recipe.training_stages import QatConfig, TaughtConfig
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.labels import Labels, describe, misfit

if TYPE_CHECKING:
    from datasets import Dataset

#: Checkpoints hold weights and two moments of Adam; two of them are kept, and a third exists while it is written.
_CHECKPOINT_FACTOR = 9


@dataclass(frozen=True)
class Plan:
    """A recipe that was found sound on this machine.

    Attributes:
        recipe: the recipe.
        order: stages in the order they run.
        source: the recipe's model.
        outside: teachers and students that are no stages, by their id in the recipe.
        digests: the digest of `source` and of each of these models.
        data: the rows, with their classes.
        measures_source: whether `source` has the task's head for these classes.
    """

    recipe: Recipe
    order: tuple[str, ...]
    source: Artifact
    outside: Mapping[str, Artifact]
    digests: Mapping[str, str]
    data: Data
    measures_source: bool

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that are scored, the main one first."""
        return self.recipe.evaluate.metrics or self.data.task.metrics(self.data.labels)[:1]

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The artifacts that are measured."""
        return (SOURCE, *self.order) if self.measures_source else self.order

    def teachers_of(self, name: str) -> tuple[str, ...]:
        """The teachers of a stage: names of artifacts, or keys of `outside`."""
        return tuple(model_name(teacher) for teacher in inputs_of(self.recipe, name).teachers)

    def student_of(self, name: str) -> str | None:
        """What the student of a stage starts from in place of its source, where the recipe names that."""
        student = inputs_of(self.recipe, name).student
        return None if student is None else model_name(student)

    def models_of(self, name: str) -> tuple[str, ...]:
        """What a stage takes beside its source."""
        return tuple(model_name(model) for model in inputs_of(self.recipe, name).models)


def model_name(model: str | ModelRef) -> str:
    """What a plan calls a model that a stage takes: a stage's name, or the id in the recipe with its revision."""
    if isinstance(model, str):
        return model
    return model.id if model.revision is None else f"{model.id}@{model.revision}"


def make_plan(recipe: Recipe, *, trust_remote_code: bool = False) -> Plan:
    """Check the recipe against what is installed, the model and the data.

    Raises:
        InputError: with the value and the way out.
    """
    for name, stage in recipe.stages.items():
        extra = code_of(stage.config).extra
        if extra is not None:
            require(extra, f"the stage `{name}` ({stage.verb})")
        if isinstance(stage.config, QuantizeConfig | QatConfig):
            _check_target(name, stage.config)
    check_speed_bounds(recipe)
    check_half(recipe)
    check_engines(recipe, get_task(recipe.task))
    source = resolve(recipe.model, trust_remote_code=trust_remote_code)
    check_safe(source, trust_remote_code=trust_remote_code)
    outside = _outside(recipe, trust_remote_code)
    task = get_task(recipe.task)
    rows = load_rows(recipe.data, recipe.task, recipe.seed)
    labels, measures_source = _labels(recipe, source, rows.splits)
    data = Data(task, rows, labels, recipe.data.max_length, recipe.seed)
    data.check_labels()
    _check_metrics(recipe, data)
    plan = Plan(
        recipe=recipe,
        order=tuple(stage_order(recipe)),
        source=Artifact(source, "torch", trusted=trust_remote_code),
        outside={name: Artifact(path, "torch", trusted=trust_remote_code) for name, path in outside.items()},
        digests={name: digest_of(files_of(path)) for name, path in {SOURCE: source, **outside}.items()},
        data=data,
        measures_source=measures_source,
    )
    _check_heads(plan)
    _check_floating_point(plan)
    task.load_processor(source)  # refuses a folder without one
    check_students(plan)
    _check_teachers(plan)
    return plan


def _check_target(stage: str, config: QuantizeConfig | QatConfig) -> None:
    if config.calibration is None:
        try:
            check_dynamic(scheme_for(config.target, describe_host().flags))
        except InputError as error:
            raise type(error)(f"stages.{stage}: {error}") from error


def _outside(recipe: Recipe, trust_remote_code: bool) -> dict[str, Path]:
    models = [model for name in recipe.stages for model in inputs_of(recipe, name).models]
    refs = [model for model in models if isinstance(model, ModelRef)]
    folders = {model_name(ref): resolve(ref, trust_remote_code=trust_remote_code) for ref in refs}
    for folder in folders.values():
        check_safe(folder, trust_remote_code=trust_remote_code)
    return folders


def _labels(recipe: Recipe, source: Path, splits: Mapping[Split, Dataset]) -> tuple[Labels, bool]:
    """The labels in the order of the source's head where it has one that fits; whether `source` can be measured."""
    task, config = get_task(recipe.task), read_config(source)
    role: Split = "train" if "train" in splits else next(iter(splits))
    where = (
        f"split `{role}`" if not task.labelled_by else f"column `{recipe.column(task.labelled_by)}` of split `{role}`"
    )
    known = task.labels_of_model(config) if task_of(config) == recipe.task else None
    found = task.labels_of(splits[role], where, known)
    if known is None:
        return found, False
    aligned = task.align(found, known)
    if aligned is not None and len(aligned.names) == len(known.names):
        return aligned, True
    users = [name for name in recipe.stages if recipe.source_of(name) == SOURCE]
    if all(recipe.stages[name].finetune is not None for name in users):
        return found, False
    raise DataError(f"{where} {misfit(found, known, recipe.model.id)}, or begin with a `finetune` stage")


def _check_floating_point(plan: Plan) -> None:
    """Of models from outside; those of stages are known from the recipe."""
    folders = {SOURCE: plan.source.path, **{name: artifact.path for name, artifact in plan.outside.items()}}
    for name in plan.order:
        start = plan.student_of(name) or plan.recipe.source_of(name)
        if start in folders and not plan.recipe.stages[name].config.takes_int8 and read_structure(folders[start]):
            raise ModelError(
                f"stages.{name} takes a model in floating point, but {folders[start]} is fake-quantized already; give "
                "the model that it was made from"
            )


def _check_metrics(recipe: Recipe, data: Data) -> None:
    """Which metrics there are depends on the labels, which the recipe does not show."""
    known = data.task.metrics(data.labels)
    asked = dict.fromkeys(recipe.evaluate.metrics, "evaluate.metrics")
    scored = recipe.evaluate.metrics or known[:1]
    bound = [metric for gate in recipe.gates for metric in (*gate.max_drop, *gate.max_rise)]
    asked |= {metric: "a gate" for metric in bound if metric not in scored}
    asked |= {metric: "a fallback" for metric in _fallback_metrics(recipe) if metric not in scored}
    for metric, place in asked.items():
        if metric not in known:
            raise InputError(
                f"{place} names {metric}, which these labels do not have ({describe(data.labels)}); "
                f"there are: {', '.join(known)}"
            )
        if metric not in scored:
            raise InputError(f"{place} names {metric}, which is not scored; add it to evaluate.metrics")


def _fallback_metrics(recipe: Recipe) -> list[Metric]:
    budgets = [stage.quantize.fallback for stage in recipe.stages.values() if stage.quantize is not None]
    return [metric for budget in budgets if budget is not None for metric in budget.max_drop]


def _check_heads(plan: Plan) -> None:
    recipe = plan.recipe
    if plan.measures_source:
        return
    for name in plan.order:
        fresh_head = recipe.stages[name].finetune is not None or plan.student_of(name) is not None
        if (recipe.source_of(name) == SOURCE and not fresh_head) or SOURCE in plan.teachers_of(name):
            raise ModelError(
                f"stages.{name} takes `source`, but {recipe.model.id} has no head for {recipe.task} with these labels; "
                "put a `finetune` stage before it, or give a model that is fine-tuned for the task"
            )
    compared = {
        recipe.baseline_name,
        *(gate.against for gate in recipe.gates),
        *(gate.artifact for gate in recipe.gates),
    }
    if SOURCE in compared:
        raise InputError(
            f"`source` is compared with, but {recipe.model.id} has no head for {recipe.task} with these labels, so it "
            "cannot be measured; name a stage as `baseline` and in the gates"
        )


def _check_teachers(plan: Plan) -> None:
    for name in plan.order:
        for teacher in plan.teachers_of(name):
            if teacher in plan.outside:
                _check_outside_teacher(plan, name, teacher)


def _check_outside_teacher(plan: Plan, stage: str, teacher: str) -> None:
    task, folder = plan.data.task, plan.outside[teacher].path
    config = read_config(folder)
    if task_of(config) != task.name:
        raise ModelError(f"stages.{stage}: the teacher {teacher} has no head for {task.name}")
    theirs, ours = task.labels_of_model(config), plan.data.labels
    if (theirs.names, theirs.problem) != (ours.names, ours.problem) and ours.names:
        raise ModelError(
            f"stages.{stage}: teacher and student label their outputs differently: {teacher} has {describe(theirs)}, "
            f"the student {describe(ours)}; choose a teacher with the same labels in the same order"
        )
    reason = task.check_compatible(task.load_processor(plan.source.path), task.load_processor(folder))
    if reason is not None and not _can_be_cached(plan, stage):
        raise ModelError(f"stages.{stage}: the teacher {teacher} does not fit the student: {reason}")


def _can_be_cached(plan: Plan, stage: str) -> bool:
    """Whether what a teacher says of rows can be kept, so that it may read them with a tokenizer of its own."""
    config = plan.recipe.stages[stage].config
    looks_inside = isinstance(config, TaughtConfig) and set(config.parts()) & set(LOOK_INSIDE)
    asked = isinstance(config, TaughtConfig) and config.teacher_cache != "off"
    return plan.data.task.answers_rows and asked and not looks_inside


def estimate_bytes(plan: Plan) -> dict[str, int]:
    """The size of each artifact's weights, by stage: what `--dry-run` prints.

    A student's follows from its config, and INT8 takes a quarter of fp32; graphs and new heads are not counted.
    """
    sizes, students = {SOURCE: model_bytes(plan.source.path)}, student_bytes(plan)
    for name in plan.order:
        sizes[name] = students.get(name, sizes[plan.recipe.source_of(name)])
        if isinstance(plan.recipe.stages[name].config, QuantizeConfig):
            sizes[name] //= 4
    return sizes


def needed_bytes(plan: Plan) -> int:
    """Disk that the run may take: every artifact, and the checkpoints of the largest stage that trains."""
    sizes = estimate_bytes(plan)
    training = [sizes[name] for name in plan.order if plan.recipe.stages[name].config.trains]
    return sum(sizes[name] for name in plan.order) + _CHECKPOINT_FACTOR * max(training, default=0)
