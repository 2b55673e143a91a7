"""Everything that can be known and refused before any long work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from hfcompress.artifact import Artifact, digest_of, model_bytes
from hfcompress.errors import DataError, InputError, ModelError
from hfcompress.extras import require
from hfcompress.models.folder import check_safe, files_of, label_names, read_config, resolve, task_of
from hfcompress.models.layers import architecture_of
from hfcompress.models.selection import with_layers
from hfcompress.pipeline.dispatch import code_of
from hfcompress.recipe.data import Split
from hfcompress.recipe.graph import inputs_of, stage_order
from hfcompress.recipe.recipe import SOURCE, Recipe
from hfcompress.recipe.schema import ModelRef
from hfcompress.recipe.stages import DistillConfig, QuantizeConfig
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.labels import Labels, align, labels_of_data

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
        teachers: teachers that are no stages, by their id in the recipe.
        digests: the digest of `source` and of each of these teachers.
        data: the rows, with their classes.
        measures_source: whether `source` has the task's head for these classes.
    """

    recipe: Recipe
    order: tuple[str, ...]
    source: Artifact
    teachers: Mapping[str, Artifact]
    digests: Mapping[str, str]
    data: Data
    measures_source: bool

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The artifacts that are measured."""
        return (SOURCE, *self.order) if self.measures_source else self.order

    def teachers_of(self, name: str) -> tuple[str, ...]:
        """The teachers of a stage: names of artifacts, or keys of `teachers`."""
        return tuple(_teacher_name(teacher) for teacher in inputs_of(self.recipe, name).teachers)


def _teacher_name(teacher: str | ModelRef) -> str:
    if isinstance(teacher, str):
        return teacher
    return teacher.id if teacher.revision is None else f"{teacher.id}@{teacher.revision}"


def make_plan(recipe: Recipe, *, trust_remote_code: bool = False) -> Plan:
    """Check the recipe against what is installed, the model and the data.

    Raises:
        InputError: with the value and the way out.
    """
    for name, stage in recipe.stages.items():
        extra = code_of(stage.config).extra
        if extra is not None:
            require(extra, f"the stage `{name}` ({stage.verb})")
    source = resolve(recipe.model)
    check_safe(source, trust_remote_code=trust_remote_code)
    teachers = _outside_teachers(recipe, trust_remote_code)
    task = get_task(recipe.task)
    rows = load_rows(recipe.data, recipe.task, recipe.seed)
    labels, measures_source = _labels(recipe, source, labels_of_data(*_labelled(recipe, rows.splits)))
    data = Data(task, rows, labels, recipe.data.max_length)
    data.check_labels()
    plan = Plan(
        recipe=recipe,
        order=tuple(stage_order(recipe)),
        source=Artifact(source, "torch", trusted=trust_remote_code),
        teachers={name: Artifact(path, "torch", trusted=trust_remote_code) for name, path in teachers.items()},
        digests={name: digest_of(files_of(path)) for name, path in {SOURCE: source, **teachers}.items()},
        data=data,
        measures_source=measures_source,
    )
    _check_heads(plan)
    _check_student_layers(plan)
    task.load_processor(source)  # refuses a folder without one
    _check_teachers(plan)
    return plan


def _outside_teachers(recipe: Recipe, trust_remote_code: bool) -> dict[str, Path]:
    teachers = [teacher for name in recipe.stages for teacher in inputs_of(recipe, name).teachers]
    folders = {_teacher_name(ref): resolve(ref) for ref in teachers if isinstance(ref, ModelRef)}
    for folder in folders.values():
        check_safe(folder, trust_remote_code=trust_remote_code)
    return folders


def _labelled(recipe: Recipe, splits: Mapping[Split, Dataset]) -> tuple[Dataset, str]:
    role: Split = "train" if "train" in splits else next(iter(splits))
    return splits[role], f"column `{recipe.column('label')}` of split `{role}`"


def _labels(recipe: Recipe, source: Path, found: Labels) -> tuple[Labels, bool]:
    """The classes in the order of the source's head where it has one that fits; whether `source` can be measured."""
    config = read_config(source)
    if task_of(config) != recipe.task:
        return found, False
    names = label_names(config)
    aligned = align(found, names)
    if aligned is not None and len(aligned.names) == len(names):
        return aligned, True
    users = [name for name in recipe.stages if recipe.source_of(name) == SOURCE]
    if all(recipe.stages[name].finetune is not None for name in users):
        return found, False
    raise DataError(
        f"the data has the labels {', '.join(found.names)}, which the model {recipe.model.id} does not know: it has "
        f"{', '.join(names)}; rename the data's labels, or begin with a `finetune` stage"
    )


def _check_heads(plan: Plan) -> None:
    recipe = plan.recipe
    if plan.measures_source:
        return
    for name in plan.order:
        needs_head = recipe.source_of(name) == SOURCE and recipe.stages[name].finetune is None
        if needs_head or SOURCE in plan.teachers_of(name):
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


def _check_student_layers(plan: Plan) -> None:
    """Follow the number of layers through the DAG, so that an index out of range is found now."""
    config = read_config(plan.source.path)
    known: dict[str, int] = {}
    for name in plan.order:
        stage, source = plan.recipe.stages[name].config, plan.recipe.source_of(name)
        chosen = stage.student.keep_layers if isinstance(stage, DistillConfig) else None
        if chosen is not None:
            architecture = architecture_of(config["model_type"])
            known.setdefault(source, int(config[architecture.count]))
            facts = SimpleNamespace(model_type=config["model_type"], **{architecture.count: known[source]})
            with_layers(facts, chosen)
            known[name] = len(chosen)
        elif source in known:
            known[name] = known[source]


def _check_teachers(plan: Plan) -> None:
    for name in plan.order:
        for teacher in plan.teachers_of(name):
            if teacher in plan.teachers:
                _check_outside_teacher(plan, name, teacher)


def _check_outside_teacher(plan: Plan, stage: str, teacher: str) -> None:
    task, folder = plan.data.task, plan.teachers[teacher].path
    config = read_config(folder)
    if task_of(config) != task.name:
        raise ModelError(f"stages.{stage}: the teacher {teacher} has no head for {task.name}")
    names = label_names(config)
    if names != plan.data.labels.names:
        raise ModelError(
            f"stages.{stage}: teacher and student label their outputs differently: {teacher} has {', '.join(names)}, "
            f"the student {', '.join(plan.data.labels.names)}; choose a teacher with the same labels in the same order"
        )
    reason = task.check_compatible(task.load_processor(plan.source.path), task.load_processor(folder))
    if reason is not None:
        raise ModelError(f"stages.{stage}: the teacher {teacher} does not fit the student: {reason}")


def estimate_bytes(plan: Plan) -> dict[str, int]:
    """A guess at the size of each artifact's weights and graph, by stage: what `--dry-run` prints.

    A student's encoder shrinks with its layers, INT8 takes a quarter of fp32; the embedding table counts fully.
    """
    sizes = {SOURCE: model_bytes(plan.source.path)}
    config = read_config(plan.source.path)
    embeddings = 4 * int(config.get("vocab_size", 0)) * int(config.get("hidden_size", config.get("dim", 0)))
    layers = {SOURCE: _layer_count(config)}
    for name in plan.order:
        stage, source = plan.recipe.stages[name].config, plan.recipe.source_of(name)
        layers[name], sizes[name] = layers[source], sizes[source]
        if isinstance(stage, DistillConfig) and stage.student.keep_layers is not None and layers[source]:
            layers[name] = len(stage.student.keep_layers)
            encoder = max(sizes[source] - embeddings, 0)
            sizes[name] = sizes[source] - encoder + encoder * layers[name] // layers[source]
        elif isinstance(stage, QuantizeConfig):
            sizes[name] = sizes[source] // 4
    return sizes


def _layer_count(config: Mapping[str, object]) -> int:
    for field in ("num_hidden_layers", "n_layers"):
        if field in config:
            return int(str(config[field]))
    return 0


def needed_bytes(plan: Plan) -> int:
    """Disk that the run may take: every artifact, and the checkpoints of the largest stage that trains."""
    sizes = estimate_bytes(plan)
    training = [sizes[name] for name in plan.order if plan.recipe.stages[name].config.trains]
    return sum(sizes[name] for name in plan.order) + _CHECKPOINT_FACTOR * max(training, default=0)
