"""`DistillationTrainer`: a `transformers.Trainer` that overrides documented hooks only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import PreTrainedModel
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, has_length

from hfcompress.errors import InputError, TrainingDivergedError
from hfcompress.recipe.objectives import Part
from hfcompress.training.answers import Answer, inputs_of
from hfcompress.training.arguments import LABELS_ONLY, DistillationArguments
from hfcompress.training.callbacks import SamplerEpochCallback
from hfcompress.training.checkpoints import remove_manifest, rotate, write_manifest
from hfcompress.training.distillation_loss import Counts, DistillationLoss
from hfcompress.training.divergence import (
    GradientCheck,
    first_non_finite,
    gradient_divergence,
    loss_divergence,
    non_finite_tensor,
    rows_named,
)
from hfcompress.training.parts import RunningParts
from hfcompress.training.publishing import PublishingTrainer
from hfcompress.training.sampler import LengthGroupedSampler, ShuffledSampler, column_lengths
from hfcompress.training.teachers import Teacher, Teachers

#: Where the student holds modules that are trained with it and left out of its artifact.
_PROJECTIONS = "distillation_projections"
#: accelerate's word for a precision -> what autocast takes.
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class DistillationTrainer(PublishingTrainer):
    """A `Trainer` that also pulls a student towards a teacher; without a teacher, plain fine-tuning.

    For every head in `hfcompress.training.heads`. A batch holds the union of what student and teacher take, the labels,
    and (optional, int64) `row_id`, by which an error names rows; each model gets what its `forward` names. Rows may
    lack a label (-100, or NaN for numbers): they learn from the teacher alone. `eval_loss` is the task loss, so that
    runs with other weights compare. Takes every other `Trainer` argument unchanged.

    The loss of an optimizer step is the weighted sum of its parts, each a mean over the items of all of its
    micro-batches and processes: 1 x 4 accumulation takes the step of one batch of 4, however uneven the masks.

    Args:
        model: the student.
        args: how the parts are weighted, and everything of `TrainingArguments`.
        teacher: a frozen model, a `Teacher`, or several of them.
        trainer_args: of `Trainer`.

    Raises:
        InputError: teacher and student do not fit each other, a part of the loss does not suit them, or
            `compute_loss_func` is given beside a teacher.
        TrainingDivergedError: (from `train`) the loss, a gradient or, when a checkpoint is due, a weight is not finite.
    """

    args: DistillationArguments

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        args: DistillationArguments,
        teacher: Teacher | PreTrainedModel | Sequence[Teacher | PreTrainedModel] | None = None,
        **trainer_args: Any,
    ) -> None:
        if teacher is not None and trainer_args.get("compute_loss_func") is not None:
            raise InputError("compute_loss_func cannot be used with a teacher; leave one of the two out")
        together = None if teacher is None else _as_teacher(teacher, args)
        if together is not None:
            together.check_matches(model)
        super().__init__(model=model, args=args, **trainer_args)
        self.teacher = together
        self._loss = self._make_loss(model)
        self._counts: Counts | None = None
        self._micro_batches: list[Mapping[str, Any]] = []
        self._parts = RunningParts()
        self._sampler_epoch = SamplerEpochCallback()
        self.add_callback(self._sampler_epoch)
        # A gradient scaler for float16 skips steps whose gradients are not finite by itself.
        self.add_callback(GradientCheck(self._blame_gradient, skip=lambda: self.accelerator.scaler is not None))

    def _make_loss(self, model: PreTrainedModel) -> DistillationLoss | None:
        """The loss of the student, with its projections under the student's roof; None: a function of the user's.

        There the optimizer, every wrapper and the checkpoints find them; `save_model` leaves them out.
        """
        if self.compute_loss_func is not None:
            return None
        # We divide by counts over all micro-batches: Trainer must not divide by their number as well.
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = True  # the latter is Transformers 5's word for it
        if self.teacher is not None:
            self.teacher.autocast = _DTYPES.get(self.accelerator.mixed_precision)
            self.teacher.to(self.args.device)
        self.label_smoother = None  # ours smooths in training alone, so that eval_loss compares
        config = LABELS_ONLY if self.teacher is None else self.args.objectives
        loss = DistillationLoss(config, model, self.teacher, self.args.label_smoothing_factor)
        if loss.looks_inside and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise InputError(
                "hidden, relations and attention look into a student that FSDP or DeepSpeed has split over processes; "
                "use --accelerate multi_gpu, or leave these parts out"
            )
        if loss.looks_inside and self.train_dataset is not None:
            row = self._prepare_inputs(self.data_collator([next(iter(self.train_dataset))]))
            projections = loss.probe(model, row, self.args.seed)
            if projections is not None:
                model.add_module(_PROJECTIONS, projections.to(self.args.device))
                if self.args.ddp_find_unused_parameters is None:
                    # They are used outside of the student's forward, which DDP would take for unused.
                    self.args.ddp_find_unused_parameters = False
        return loss

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """The micro-batches of one optimizer step, and how many items they and those of all processes hold."""
        batches, counted = super().get_batch_samples(epoch_iterator, num_batches, device)
        if batches and self._loss is not None:
            counts = self._loss.count(batches)
            totals = self.accelerator.reduce(torch.stack(list(counts.values())).to(device), "sum")
            self._counts = dict(zip(counts, totals, strict=True))
            counted = totals.sum()  # something: without a number Trainer would divide the loss
        self._micro_batches = batches
        return batches, counted

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The weighted sum of the parts in training, the task loss in evaluation: a scalar."""
        student = self.accelerator.unwrap_model(model, keep_torch_compile=False)
        if not model.training:
            return super().compute_loss(model, inputs_of(student, inputs), return_outputs=return_outputs)
        if self._loss is not None:
            loss, outputs = self._distillation_loss(self._loss, model, student, inputs)
        else:
            loss, outputs = super().compute_loss(model, inputs_of(student, inputs), True, num_items_in_batch)
            self._check_finite(loss, {"label": loss}, inputs, Answer(outputs), Answer({}))
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> Any:
        """Evaluation of one batch, of which the model is given what it takes; without labels Trainer gives it all."""
        student = self.accelerator.unwrap_model(model, keep_torch_compile=False)
        return super().prediction_step(model, inputs_of(student, inputs), prediction_loss_only, ignore_keys)

    def _distillation_loss(
        self, loss_of: DistillationLoss, model: nn.Module, student: nn.Module, inputs: Mapping[str, Any]
    ) -> tuple[Tensor, Any]:
        ours, theirs = loss_of.ask(model, student, inputs)
        parts = loss_of.parts(ours, theirs, inputs, self._counts)
        loss = loss_of.weighted(parts, self.state.global_step, self.state.max_steps)
        self._check_finite(loss, parts, inputs, ours, theirs)
        named = {f"loss_{part}": value for part, value in parts.items()}
        self._parts.add(named, 1 / self.current_gradient_accumulation_steps)
        if self.accelerator.num_processes > 1:
            # DDP waits for the gradient of every output, and a loss of layers alone has none.
            outputs = [each.sum() for each in ours.outputs.values() if isinstance(each, Tensor)]
            loss = loss + 0 * torch.stack(outputs).sum()
        # Every wrapper averages gradients over processes, and the counts are those of all of them already.
        return (loss if self._counts is None else loss * self.accelerator.num_processes), ours.outputs

    def _check_finite(
        self, loss: Tensor, parts: Mapping[Any, Tensor], inputs: Mapping[str, Any], ours: Answer, theirs: Answer
    ) -> None:
        # Waits for the device, once a micro-batch.
        if not bool(loss.isfinite().all()):
            step = self.state.global_step + 1
            raise loss_divergence(step, parts, inputs, student=ours.outputs, teacher=theirs.outputs)

    def _blame_gradient(self, parameter: str) -> None:
        """Find the parts and the rows whose gradient is not finite, by taking each on its own, and raise."""
        guilty: dict[str, None] = {}
        rows = "no part shows it on its own"
        for batch in map(self._prepare_inputs, self._micro_batches):
            for part in self._loss.part_names if self._loss else ():
                if self._breaks(part, batch):
                    guilty[part], rows = None, rows_named(batch)
        raise gradient_divergence(self.state.global_step + 1, parameter, list(guilty), rows)

    def _breaks(self, part: Part, batch: Mapping[str, Any]) -> bool:
        """Whether a part's gradient on a batch is not finite. Without a wrapper: other processes need not take part."""
        student, loss = self.accelerator.unwrap_model(self.model), self._loss
        if loss is None:
            return False
        student.zero_grad()
        with self.compute_loss_context_manager():
            ours, theirs = loss.ask(student, student, batch)
            value = loss.parts(ours, theirs, batch, self._counts)[part]
        value.backward()  # type: ignore[no-untyped-call]  # torch's own
        gradients = {name: p.grad for name, p in student.named_parameters() if p.grad is not None}
        return first_non_finite(gradients) is not None

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches of the size that the arguments say: a resumed Trainer would take that of the checkpoint."""
        self._train_batch_size = self.args.train_batch_size
        loader: DataLoader[Any] = super().get_train_dataloader()
        return loader

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        """Ours, grouped by length where lengths are known; a dataset without a length is read in its own order."""
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if getattr(self.args, "train_sampling_strategy", "random") == "sequential":
            sequential: Sampler[int] | None = super()._get_train_sampler(dataset)
            return sequential
        if dataset is None or not has_length(dataset):
            return None
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        lengths = column_lengths(dataset, self.args.length_column_name) if self.args.length_grouped else None
        if lengths is None:
            sampler = ShuffledSampler(len(dataset), seed)
        else:
            sampler = LengthGroupedSampler(lengths, self.get_total_train_batch_size(self.args), seed)
        self._sampler_epoch.sampler = sampler
        return sampler

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add each part (`loss_kl`, `loss_label`, ...), averaged over the steps since the last log, to `loss`."""
        if "loss" in logs:
            processes = self.accelerator.num_processes
            logs = {**logs, **self._parts.averages(lambda totals: self.accelerator.reduce(totals, "sum"), processes)}
        elif "train_loss" in logs:  # the end: the steps after the last log are in train_loss
            self._parts.clear()
            self._counts, self._micro_batches = None, []
        super().log(logs, start_time)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save, write the manifest, and only then delete older checkpoints; refuse weights that are not finite."""
        self._check_weights()
        checkpoint = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save:
            remove_manifest(checkpoint)
        with self._without_rotation() as limit:
            super()._save_checkpoint(model, trial)
        # The other processes have written their random states before the files are hashed.
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            if not self.args.save_only_model:  # a manifest says that training can go on from here
                write_manifest(checkpoint)
            best = self.state.best_model_checkpoint
            rotate(checkpoint, limit, None if best is None else Path(best))
        self.accelerator.wait_for_everyone()

    def _check_weights(self) -> None:
        name = non_finite_tensor(self.model)
        # One answer for all processes: one alone that raised would leave the others waiting at the next barrier.
        bad = self.accelerator.reduce(torch.tensor(float(name is not None), device=self.args.device), "sum")
        if bad.item():
            raise TrainingDivergedError(
                f"the weights became NaN or infinite by step {self.state.global_step} "
                f"({name or 'seen by another process'}), so no checkpoint was written; lower learning_rate, add "
                f"warmup, or set max_grad_norm; the last good checkpoint is kept"
            )

    @contextmanager
    def _without_rotation(self) -> Iterator[int | None]:
        # Trainer deletes old checkpoints inside `_save_checkpoint`, before there is a manifest for the new one.
        limit = self.args.save_total_limit
        self.args.save_total_limit = None
        try:
            yield limit
        finally:
            self.args.save_total_limit = limit

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the student; in a checkpoint with its projections, which resuming needs, elsewhere without."""
        if _internal_call:
            super().save_model(output_dir, _internal_call)
        else:
            with self.bare_student():
                super().save_model(output_dir, _internal_call)

    @contextmanager
    def bare_student(self) -> Iterator[PreTrainedModel]:
        """The student as its artifact has it: unwrapped, and without what only its training needs."""
        model = self.accelerator.unwrap_model(self.model)
        projections = model._modules.pop(_PROJECTIONS, None)
        try:
            yield model
        finally:
            if projections is not None:
                model.add_module(_PROJECTIONS, projections)


def _as_teacher(
    teacher: Teacher | PreTrainedModel | Sequence[Teacher | PreTrainedModel], args: DistillationArguments
) -> Teacher:
    several = list(teacher) if isinstance(teacher, Sequence) else [teacher]
    teachers = [each if isinstance(each, Teacher) else Teacher(each) for each in several]
    weights, choice = args.objectives.teacher_weights, args.objectives.teacher_choice
    if len(teachers) == 1 and weights is None and choice == "average":
        return teachers[0]
    return Teachers(teachers, weights, choice)


def autocast_of(args: DistillationArguments) -> torch.dtype | None:
    """What a student that is trained with these arguments computes in, and so its teacher."""
    return _DTYPES.get("bf16" if args.bf16 else "fp16" if args.fp16 else "no")
