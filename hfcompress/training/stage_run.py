"""What every stage that trains does in its run: arguments, memory, the trainer, its checkpoints, the artifact."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from hfcompress.artifact import Artifact
from hfcompress.distributed.world import join
from hfcompress.errors import TrainingDivergedError
from hfcompress.models.quiet import no_bars
from hfcompress.stage import Run

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from hfcompress.tasks.base import Collate
    from hfcompress.training.arguments import DistillationArguments
    from hfcompress.training.teachers import Teacher
    from hfcompress.training.trainer import DistillationTrainer

    Arguments = TypeVar("Arguments", bound=DistillationArguments)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lesson:
    """Who learns what.

    Attributes:
        model: what is trained.
        rows: the prepared training rows.
        processor: what made the model's inputs of them, and goes into its artifact.
        teacher: None: the labels alone teach.
    """

    model: PreTrainedModel
    rows: Dataset
    processor: Any
    teacher: Teacher | None = None


def seeded_processor(start: Artifact, run: Run) -> Any:
    """The processor of a model, once everything that is drawn from here on follows from the run's seed."""
    import transformers

    transformers.set_seed(run.seed)  # a new head is drawn when the model is loaded, before the Trainer seeds
    return run.data.task.load_processor(start.path)


def carry_code(source: Artifact, run: Run) -> None:
    """An artifact stands on its own, so the code that a trusted model brings goes with it."""
    if source.trusted:
        for path in sorted(source.path.glob("*.py")):
            shutil.copy(path, run.out)


def arguments_for(run: Run, fields: dict[str, Any], kind: type[Arguments]) -> Arguments:
    """The arguments of a run's trainer.

    Args:
        run: says where checkpoints go, and the seed.
        fields: what the recipe says; it wins over the defaults here.
        kind: the class of the arguments.
    """
    import torch

    from hfcompress.training.precision import training_dtype

    dtype = training_dtype(fields)
    ours = {"output_dir": str(run.work), "seed": run.seed, "data_seed": run.seed, "disable_tqdm": True}
    device = {} if torch.cuda.is_available() else {"use_cpu": True, "dataloader_pin_memory": False}
    precision = {"bf16": dtype == "bf16", "fp16": dtype == "fp16"}
    arguments = kind(**{**ours, **device, **fields, **precision})
    if arguments.n_gpu > 1:  # without a launcher Trainer would split each batch over threads, one for each GPU
        logger.warning("%s: one of %d GPUs is used; --accelerate multi_gpu uses all", run.name, arguments.n_gpu)
        arguments._n_gpu = 1
    return arguments


def within_memory(once: Callable[[dict[str, Any]], Artifact], fields: dict[str, Any], run: Run) -> Artifact:
    """Train once; again with smaller batches and as many rows a step when memory runs out, which the manifest says.

    Args:
        once: builds everything anew and trains it with the given fields of the arguments.
        fields: what the recipe says.
        run: keeps what was tried in its work folder.
    """
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


def train(lesson: Lesson, arguments: DistillationArguments, run: Run, kind: type[DistillationTrainer]) -> Artifact:
    """Train from the newest intact checkpoint on, and save the model into `run.out`.

    Raises:
        TrainingDivergedError: a loss, a gradient or a weight is not finite.
        Terminated: SIGTERM came; a checkpoint is saved.
    """
    from hfcompress.training.callbacks import ProgressBarCallback, remove_default_progress_
    from hfcompress.training.checkpoints import newest_for_all
    from hfcompress.training.divergence import non_finite_tensor
    from hfcompress.training.saving import save_trained
    from hfcompress.training.stopping import stopping

    trainer = _trainer(lesson, arguments, run, kind)
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
    save_trained(trainer, lesson.processor, run.out)
    return Artifact(run.out, "torch", details={"steps": result.global_step, "losses": _losses(trainer)})


def _trainer(
    lesson: Lesson, arguments: DistillationArguments, run: Run, kind: type[DistillationTrainer]
) -> DistillationTrainer:
    evaluates = arguments.eval_strategy != "no"
    _count_save_steps_(arguments, len(lesson.rows))
    return kind(
        model=lesson.model,
        teacher=lesson.teacher,
        args=arguments,
        train_dataset=lesson.rows,
        eval_dataset=run.data.prepared("validation", lesson.processor) if evaluates else None,
        data_collator=_tensors(run.data.task.collate(lesson.processor)),
    )


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
