"""`DistillationArguments`: `TrainingArguments` with a temperature, the weights of the parts, and safer defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments
from transformers.training_args import OptimizerNames

from hfcompress.errors import InputError


@dataclass
class DistillationArguments(TrainingArguments):  # type: ignore[misc]  # Transformers is untyped
    """What `DistillationTrainer` needs beside `TrainingArguments`; also a dataclass for `HfArgumentParser`.

    The loss is `kl_weight` · KL + `label_weight` · task loss; a part whose weight is 0 is not computed. Without a
    teacher the loss is the task loss and the weights are not used.

    Raises:
        InputError: a temperature that is not positive, weights that are negative or all 0, fewer than two kept
            checkpoints, or an argument of Transformers that would break distillation or exact resume in silence.
    """

    temperature: float = field(default=2.0, metadata={"help": "Softens both distributions before the KL; > 0."})
    kl_weight: float = field(default=0.9, metadata={"help": "Weight of the KL to the teacher; >= 0."})
    label_weight: float = field(default=0.1, metadata={"help": "Weight of the task's own loss; >= 0."})
    length_grouped: bool = field(
        default=True,
        metadata={"help": "Batch rows of like length, where the dataset has a length column; resumes exactly."},
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Kept False: the filter logs a loss of 0.0 for a model of NaN."}
    )
    logging_steps: float = field(default=10, metadata={"help": "Log every so many steps; a ratio if < 1."})
    optim: OptimizerNames | str = field(default="adamw_torch_fused", metadata={"help": "The optimizer to use."})
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Kept False: the teacher may need columns that the student does not take."}
    )
    # HfArgumentParser takes the second member of the union for the type of the option: the order matters.
    report_to: None | str | list[str] = field(  # noqa: RUF036
        default="none", metadata={"help": "Trackers to report to."}
    )
    save_steps: float = field(default=0.1, metadata={"help": "Save every so many steps; a ratio of all if < 1."})
    save_total_limit: int | None = field(
        default=2, metadata={"help": "Checkpoints to keep, at least 2, so that a damaged one has a predecessor."}
    )

    def __post_init__(self) -> None:
        _check_loss(self.temperature, kl_weight=self.kl_weight, label_weight=self.label_weight)
        _check_limit(self.save_total_limit)
        self._check_inherited()
        # Without an accelerator there is nothing to pin memory for, and torch warns at every epoch.
        if not torch.accelerator.is_available():
            self.dataloader_pin_memory = False
        super().__post_init__()

    @property
    def device(self) -> torch.device:
        """The device of this process; a CPU without an index."""
        device: torch.device = super().device
        # accelerate calls it "cpu:0" when there are several processes, and `torch.load` knows no such place: with
        # Transformers 4.57 they could not resume.
        return torch.device("cpu") if device.type == "cpu" else device

    def _check_inherited(self) -> None:
        if self.remove_unused_columns:
            raise InputError(
                "remove_unused_columns=True would take from the batch what only the teacher reads; leave it False "
                "(each model gets the inputs that its forward names)"
            )
        if self.logging_nan_inf_filter:
            raise InputError("logging_nan_inf_filter=True hides a loss of NaN; leave it False")
        # `save_safetensors` is gone from Transformers 5, `group_by_length` became a strategy there.
        if not getattr(self, "save_safetensors", True):
            raise InputError("save_safetensors=False writes pickled weights, which run code when loaded; leave it True")
        strategy = getattr(self, "train_sampling_strategy", "random")
        if getattr(self, "group_by_length", False) or strategy not in ("random", "sequential"):
            given = "group_by_length=True" if strategy == "random" else f"train_sampling_strategy={strategy!r}"
            raise InputError(f"{given} does not resume exactly after a stop; use length_grouped=True instead")


def _check_loss(temperature: float, **weights: float) -> None:
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature should be a number above 0, got {temperature}; 1 to 8 is usual")
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"{name} should be 0 or more, got {weight}; 0 turns that part of the loss off")
    if not any(weights.values()):
        raise InputError(f"{' and '.join(weights)} are all 0, so there is nothing to learn; give one a weight above 0")


def _check_limit(save_total_limit: int | None) -> None:
    if save_total_limit is not None and save_total_limit < 2:
        raise InputError(
            f"save_total_limit should be 2 or more, got {save_total_limit}: when the newest checkpoint is damaged, "
            f"the one before it is needed; use 2, or None to keep all"
        )
