"""The stages `finetune` and `distill`: load, train, save. The arithmetic is in `training/`."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from hfcompress.artifact import Artifact
from hfcompress.distill.student import load_student
from hfcompress.distill.teacher_cache import cached_teacher, what_to_keep
from hfcompress.distributed.world import join
from hfcompress.errors import ModelError, TrainingDivergedError
from hfcompress.models.loading import load_model
from hfcompress.models.quiet import no_bars
from hfcompress.recipe.objectives import LOOK_INSIDE, DistillationObjectives
from hfcompress.recipe.training_stages import DistillConfig, FinetuneConfig
from hfcompress.stage import Inputs, Run

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from hfcompress.tasks.base import Collate
    from hfcompress.training.arguments import DistillationArguments
    from hfcompress.training.teachers import Teacher

logger = logging.getLogger(__name__)


def finetune(config: FinetuneConfig, inputs: Inputs, run: Run) -> Artifact:
    """Fine-tune the source on the labels; its head is new where the source has none for these labels."""

    def once(fields: dict[str, Any]) -> Artifact:
        processor = _seeded_processor(inputs.source, run)
        labels = run.data.labels
        model = load_model(inputs.source.path, run.task, labels=labels, trust_remote_code=inputs.source.trusted)
        rows = run.data.prepared("train", processor)
        return _train(model, None, rows, processor, _arguments(run, fields), run)

    _carry_code(inputs.source, run)
    return _within_memory(once, {"kl_weight": 0.0, "label_weight": 1.0, **config.training}, run)


def distill(config: DistillConfig, inputs: Inputs, run: Run) -> Artifact:
    """Train a student, made from the source, towards its teachers and the labels."""

    def once(fields: dict[str, Any]) -> Artifact:
        processor = _seeded_processor(inputs.student or inputs.source, run)
        student = load_student(config.student, inputs, run)
        arguments = _arguments(run, fields)
        rows = run.data.prepared("train", processor, unlabeled=True)
        teacher = _teacher(config, inputs, processor, arguments, run, _passes(arguments, len(rows)))
        return _train(student, teacher, rows, processor, arguments, run)

    _carry_code(inputs.student or inputs.source, run)
    objectives = config.model_dump(include=set(DistillationObjectives.model_fields), exclude_none=True)
    return _within_memory(once, {**objectives, **config.training}, run)


def _within_memory(once: Callable[[dict[str, Any]], Artifact], fields: dict[str, Any], run: Run) -> Artifact:
    """Train once; again with smaller batches and as many rows a step when memory runs out, which the manifest says."""
    from hfcompress.training.memory import SmallerBatch, steps_down, with_smaller_batches
    from hfcompress.training.precision import precision_decided, training_dtype

    def train(batch: int, accumulation: int) -> Artifact:
        sizes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        return once({**fields, **sizes})

    def tell(step: SmallerBatch) -> None:
        logger.warning(
            "%s: out of memory with %d rows in each pass; goes on with %d, and %d passes a step",
            run.name,
            step.ran_out_at,
            step.per_device_train_batch_size,
            step.gradient_accumulation_steps,
        )

    asked = fields.get("per_device_train_batch_size", 8), fields.get("gradient_accumulation_steps", 1)
    with precision_decided(training_dtype(fields)):
        artifact = with_smaller_batches(train, *asked, run.work, tell, join().size)
    steps = [asdict(step) for step in steps_down(run.work)]
    return replace(artifact, details={**(artifact.details or {}), **({"smaller_batches": steps} if steps else {})})


def _passes(arguments: DistillationArguments, rows: int) -> float:
    """How often training goes through its rows."""
    if arguments.max_steps <= 0:
        return float(arguments.num_train_epochs)
    batch = arguments.train_batch_size * arguments.world_size * arguments.gradient_accumulation_steps
    return float(arguments.max_steps * batch / rows)


def _teacher(
    config: DistillConfig, inputs: Inputs, processor: Any, arguments: DistillationArguments, run: Run, passes: float
) -> Teacher | None:
    """The teachers as one; None when nothing is asked of them."""
    from hfcompress.training.teachers import Teachers

    if all(part == "label" for part in config.parts()):
        return None
    teachers = [_asked_or_cached(config, each, processor, arguments, run, passes) for each in inputs.teachers]
    return teachers[0] if len(teachers) == 1 else Teachers(teachers, config.teacher_weights, config.teacher_choice)


def _asked_or_cached(
    config: DistillConfig, artifact: Artifact, processor: Any, arguments: DistillationArguments, run: Run, passes: float
) -> Teacher:
    """A teacher that is asked at each step, or what it said once about every row."""
    from hfcompress.training.teachers import Teacher

    teacher = Teacher(load_model(artifact.path, run.task, trust_remote_code=artifact.trusted))
    own = run.data.task.load_processor(artifact.path)
    other_inputs = run.data.task.check_compatible(processor, own)
    if other_inputs is not None and not run.data.task.answers_rows:
        raise ModelError(f"{run.name}: the teacher {teacher.name} does not fit the student: {other_inputs}")
    keep = what_to_keep(teacher, config.teacher_cache_top_k, config.temperature)
    looks_inside = any(part in LOOK_INSIDE for part in config.parts())
    small = keep.topk is not None or keep.dtype == "float32"
    pays = run.teacher_cache is not None and passes > 1 and small and not looks_inside
    if config.teacher_cache == "on" or other_inputs is not None or (config.teacher_cache == "auto" and pays):
        return cached_teacher(teacher, artifact, processor if other_inputs is None else own, arguments, run, keep)
    return teacher


def _carry_code(source: Artifact, run: Run) -> None:
    """An artifact stands on its own, so the code that a trusted model brings goes with it."""
    if source.trusted:
        for path in sorted(source.path.glob("*.py")):
            shutil.copy(path, run.out)


def _seeded_processor(start: Artifact, run: Run) -> Any:
    import transformers

    transformers.set_seed(run.seed)  # a new head is drawn when the model is loaded, before the Trainer seeds
    return run.data.task.load_processor(start.path)


def _arguments(run: Run, fields: dict[str, Any]) -> DistillationArguments:
    import torch

    from hfcompress.training.arguments import DistillationArguments
    from hfcompress.training.precision import training_dtype

    dtype = training_dtype(fields)
    ours = {"output_dir": str(run.work), "seed": run.seed, "data_seed": run.seed, "disable_tqdm": True}
    device = {} if torch.cuda.is_available() else {"use_cpu": True, "dataloader_pin_memory": False}
    precision = {"bf16": dtype == "bf16", "fp16": dtype == "fp16"}
    arguments = DistillationArguments(**{**ours, **device, **fields, **precision})
    if arguments.n_gpu > 1:  # without a launcher Trainer would split each batch over threads, one for each GPU
        logger.warning("%s: one of %d GPUs is used; --accelerate multi_gpu uses all", run.name, arguments.n_gpu)
        arguments._n_gpu = 1
    return arguments


def _train(
    model: PreTrainedModel,
    teacher: Teacher | None,
    rows: Dataset,
    processor: Any,
    arguments: DistillationArguments,
    run: Run,
) -> Artifact:
    from hfcompress.training.callbacks import ProgressBarCallback, remove_default_progress_
    from hfcompress.training.checkpoints import newest_for_all
    from hfcompress.training.divergence import non_finite_tensor
    from hfcompress.training.saving import save_trained
    from hfcompress.training.stopping import stopping
    from hfcompress.training.trainer import DistillationTrainer

    evaluates = arguments.eval_strategy != "no"
    _count_save_steps_(arguments, len(rows))
    trainer = DistillationTrainer(
        model=model,
        teacher=teacher,
        args=arguments,
        train_dataset=rows,
        eval_dataset=run.data.prepared("validation", processor) if evaluates else None,
        data_collator=_tensors(run.data.task.collate(processor)),
    )
    remove_default_progress_(trainer)
    bar = ProgressBarCallback(run.progress, f"{run.name}: training")
    trainer.add_callback(bar)
    world = join()
    checkpoint, skipped = newest_for_all(run.work, world)
    for reason in skipped:
        logger.warning("checkpoint skipped: %s", reason)
    if checkpoint is not None:
        run.progress.say(f"{run.name}: resumes from {checkpoint.name}")
    with closing(bar), no_bars(), stopping(trainer, world):
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    broken = non_finite_tensor(trainer.model)
    if broken is not None:
        raise TrainingDivergedError(f"{run.name}: {broken} is NaN or infinite at the end; lower learning_rate")
    save_trained(trainer, processor, run.out)
    return Artifact(run.out, "torch", details={"steps": result.global_step, "losses": _losses(trainer)})


def _count_save_steps_(arguments: DistillationArguments, rows: int) -> None:
    """Turn `save_steps` as a share of all steps into a number, which is what a resumed Trainer compares it with."""
    if 0 < arguments.save_steps < 1:
        batches = math.ceil(rows / (arguments.train_batch_size * arguments.world_size))
        updates = max(1, math.ceil(batches / arguments.gradient_accumulation_steps))
        steps = arguments.max_steps if arguments.max_steps > 0 else arguments.num_train_epochs * updates
        arguments.save_steps = max(1, math.ceil(arguments.save_steps * steps))


def _losses(trainer: Any) -> list[dict[str, float]]:
    """The logged losses by step: what a plot of the training needs, and nothing that changes from run to run."""
    logged = [
        {key: value for key, value in entry.items() if key == "step" or key.startswith(("loss", "eval_loss"))}
        for entry in trainer.state.log_history
    ]
    return [entry for entry in logged if len(entry) > 1]


def _tensors(collate: Collate) -> Any:
    import torch

    def as_tensors(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(array) for name, array in collate(rows).items()}

    return as_tensors
