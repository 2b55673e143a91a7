"""`DistillationTrainer`: a `transformers.Trainer` that overrides documented hooks only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import PreTrainedModel, Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, has_length

from hfcompress.errors import InputError, TrainingDivergedError
from hfcompress.training.arguments import DistillationArguments
from hfcompress.training.callbacks import SamplerEpochCallback
from hfcompress.training.checkpoints import remove_manifest, rotate, write_manifest
from hfcompress.training.losses import soft_target_kl
from hfcompress.training.parts import RunningParts, divergence, non_finite_tensor
from hfcompress.training.sampler import LengthGroupedSampler, ShuffledSampler, column_lengths
from hfcompress.training.teachers import Teacher, inputs_of


class DistillationTrainer(Trainer):  # type: ignore[misc]  # Transformers is untyped
    """A `Trainer` that also pulls the student's logits towards a teacher's; without a teacher, plain fine-tuning.

    For tasks with one class a row. A batch holds the union of what student and teacher take, `labels`, and (optional,
    int64) `row_id`, by which an error names rows; each model gets what its `forward` names. `eval_loss` is the task
    loss, so that runs with other weights compare. Takes every other `Trainer` argument unchanged.

    Raises:
        InputError: teacher and student do not fit each other, or `compute_loss_func` is given beside a teacher.
        TrainingDivergedError: (from `train`) the loss or, when a checkpoint is due, a weight is not finite.
    """

    args: DistillationArguments

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        args: DistillationArguments,
        teacher: Teacher | PreTrainedModel | None = None,
        **trainer_args: Any,
    ) -> None:
        if teacher is not None and trainer_args.get("compute_loss_func") is not None:
            # Trainer does not divide such a loss by the accumulation steps, so the KL would be too large by them.
            raise InputError("compute_loss_func cannot be used with a teacher; leave one of the two out")
        if teacher is not None:
            teacher = teacher if isinstance(teacher, Teacher) else Teacher(teacher)
            teacher.check_matches(model)
        super().__init__(model=model, args=args, **trainer_args)
        # A mean over rows: Trainer must divide it by the accumulation steps.
        self.model_accepts_loss_kwargs = False
        self.teacher = None if teacher is None else teacher.to(self.args.device)
        self._parts = RunningParts()
        self._sampler_epoch = SamplerEpochCallback()
        self.add_callback(self._sampler_epoch)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The weighted sum of the parts in training, the task loss in evaluation: a scalar, a mean over rows."""
        unwrapped = self.accelerator.unwrap_model(model, keep_torch_compile=False)
        student_inputs = inputs_of(unwrapped, inputs)
        if not model.training:
            return super().compute_loss(model, student_inputs, return_outputs=return_outputs)
        if self.teacher is None:
            loss, outputs = super().compute_loss(model, student_inputs, True, num_items_in_batch)
            self._check_finite(loss, {"label": loss}, inputs, outputs)
        else:
            loss, outputs = self._distillation_loss(self.teacher, model, student_inputs, inputs)
        return (loss, outputs) if return_outputs else loss

    def _distillation_loss(
        self, teacher: Teacher, model: nn.Module, student_inputs: dict[str, Any], inputs: Mapping[str, Any]
    ) -> tuple[Tensor, Any]:
        weights = {"kl": self.args.kl_weight, "label": self.args.label_weight}
        parts: dict[str, Tensor] = {}
        if weights["label"]:
            parts["label"], outputs = super().compute_loss(model, student_inputs, return_outputs=True)
        else:  # then rows need no labels
            outputs = model(**{name: value for name, value in student_inputs.items() if name != "labels"})
        teacher_logits = None
        if weights["kl"]:
            teacher_logits = teacher.logits(inputs)
            parts["kl"] = soft_target_kl(outputs["logits"], teacher_logits, self.args.temperature)
        loss = torch.stack([weights[name] * value.mean() for name, value in parts.items()]).sum()
        self._check_finite(loss, parts, inputs, outputs, teacher_logits)
        named = {f"loss_{name}": value.mean() for name, value in parts.items()}
        self._parts.add(named, 1 / self.current_gradient_accumulation_steps)
        return loss, outputs

    def _check_finite(
        self,
        loss: Tensor,
        parts: dict[str, Tensor],
        inputs: Mapping[str, Any],
        outputs: Any,
        teacher_logits: Tensor | None = None,
    ) -> None:
        # The one wait for the device in a step.
        if not bool(loss.isfinite().all()):
            student_logits = outputs.get("logits") if isinstance(outputs, dict) else None
            raise divergence(
                self.state.global_step + 1,
                parts,
                inputs,
                student_logits=student_logits,
                teacher_logits=teacher_logits,
            )

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
        """Add `loss_kl` and `loss_label`, averaged over the steps and processes since the last log, to `loss`."""
        if "loss" in logs:
            logs = {**logs, **self._parts.averages(lambda totals: self.accelerator.reduce(totals, "sum"))}
        elif "train_loss" in logs:  # the end: the steps after the last log are in train_loss
            self._parts.clear()
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
