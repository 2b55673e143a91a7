"""`DistillationArguments`: `TrainingArguments` with what a student learns from, and safer defaults."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import ValidationError
from transformers import TrainingArguments
from transformers.training_args import OptimizerNames

from hfcompress.errors import InputError
from hfcompress.recipe.objectives import DistillationObjectives
from hfcompress.training.publishing import check_hub_arguments

#: What a model without a teacher learns from.
LABELS_ONLY = DistillationObjectives(kl_weight=0, label_weight=1)

#: The fields of ours that are objectives.
_OBJECTIVES = tuple(DistillationObjectives.model_fields)


@dataclass
class DistillationArguments(TrainingArguments):  # type: ignore[misc]  # Transformers is untyped
    """What `DistillationTrainer` needs beside `TrainingArguments`; also a dataclass for `HfArgumentParser`.

    The loss is the weighted sum of the parts that `hfcompress.recipe.objectives.DistillationObjectives` describes field
    by field; a part whose weight is 0 is not computed. Without a teacher the loss is the task loss and the weights are
    not used. `hidden`, `relations`, `attention` and `schedules` take a mapping, or on a command line its JSON.

    Raises:
        InputError: a value that `DistillationObjectives` refuses, weights that are all 0, fewer than two kept
            checkpoints, or an argument of Transformers that would break distillation or exact resume in silence.
    """

    temperature: float = field(default=2.0, metadata={"help": "Softens both distributions before the KL; > 0."})
    kl_weight: float = field(default=0.9, metadata={"help": "Weight of the comparison with the teacher; >= 0."})
    label_weight: float = field(default=0.1, metadata={"help": "Weight of the task's own loss; >= 0."})
    soft_loss: str | None = field(
        default=None, metadata={"help": "forward_kl, reverse_kl, jsd, mse or cosine; default: what suits the task."}
    )
    beta: float = field(default=0.5, metadata={"help": "Of jsd: 0 is the forward KL, 1 the reverse."})
    hidden: dict[str, Any] | str | None = field(
        default=None, metadata={"help": 'Hidden states, as JSON: {"weight": 1, "loss": "mse", "layers": "uniform"}.'}
    )
    relations: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "MiniLMv2's self-attention relations, as JSON: {} takes the defaults."}
    )
    attention: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "TinyBERT's attention scores, as JSON: {} takes the defaults."}
    )
    schedules: dict[str, Any] | str | None = field(
        default=None, metadata={"help": 'Weights that move, as JSON: {"kl": {"end": 0.1, "shape": "linear"}}.'}
    )
    teacher_weights: list[float] | None = field(
        default=None, metadata={"help": "One weight for each teacher; default: equal ones."}
    )
    teacher_choice: str = field(
        default="average", metadata={"help": "average of several teachers, or for each row the best by its label."}
    )
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
        for name in ("hidden", "relations", "attention", "schedules"):
            setattr(self, name, _parsed(name, getattr(self, name)))
        self.objectives = _objectives({name: getattr(self, name) for name in _OBJECTIVES})
        _check_limit(self.save_total_limit)
        self._check_inherited()
        # Transformers 5 has another word for it, and the way without reentrance as its default.
        if self.gradient_checkpointing and not hasattr(self, "activation_checkpointing"):
            # The reentrant way runs the first pass without a graph: projections that are recorded in it have none.
            kwargs = _parsed("gradient_checkpointing_kwargs", getattr(self, "gradient_checkpointing_kwargs"))  # noqa: B009
            self.gradient_checkpointing_kwargs = {"use_reentrant": False, **(kwargs or {})}
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
        check_hub_arguments(self)
        if self.remove_unused_columns:
            raise InputError(
                "remove_unused_columns=True would take from the batch what only the teacher reads; leave it False "
                "(each model gets the inputs that its forward names)"
            )
        if self.logging_nan_inf_filter:
            raise InputError("logging_nan_inf_filter=True hides a loss of NaN; leave it False")
        if self.auto_find_batch_size:
            raise InputError(
                "auto_find_batch_size changes the batch of a step; lower per_device_train_batch_size instead"
            )
        names = ("gradient_checkpointing_kwargs", "activation_checkpointing_kwargs")
        kwargs = [given for name in names if isinstance(given := getattr(self, name, None), dict)]
        layers = self.relations is not None or self.attention is not None
        if layers and any(given.get("use_reentrant") for given in kwargs):
            raise InputError("use_reentrant=True takes the gradient from relations and attention; leave it out")
        # `save_safetensors` is gone from Transformers 5, `group_by_length` became a strategy there.
        if not getattr(self, "save_safetensors", True):
            raise InputError("save_safetensors=False writes pickled weights, which run code when loaded; leave it True")
        strategy = getattr(self, "train_sampling_strategy", "random")
        if getattr(self, "group_by_length", False) or strategy not in ("random", "sequential"):
            given = "group_by_length=True" if strategy == "random" else f"train_sampling_strategy={strategy!r}"
            raise InputError(f"{given} does not resume exactly after a stop; use length_grouped=True instead")


def _parsed(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise InputError(f"{name} should be a mapping or its JSON, got {value!r}: {error}") from error


def _objectives(fields: dict[str, Any]) -> DistillationObjectives:
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        config = DistillationObjectives.model_validate(given)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors())
        raise InputError(f"these arguments of distillation cannot be used: {faults}") from error
    if not config.parts():
        raise InputError(
            "kl_weight, label_weight and all others are 0, so there is nothing to learn; give one a weight above 0"
        )
    return config


def _check_limit(save_total_limit: int | None) -> None:
    if save_total_limit is not None and save_total_limit < 2:
        raise InputError(
            f"save_total_limit should be 2 or more, got {save_total_limit}: when the newest checkpoint is damaged, "
            f"the one before it is needed; use 2, or None to keep all"
        )
