"""`QATTrainer`: a `DistillationTrainer` for a fake-quantized model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import OptimizerNames

from hfcompress.errors import InputError
from hfcompress.models.fake_quant import fake_quant_parameters, freeze_observers_, is_fake_quantized
from hfcompress.models.loading import save_weights
from hfcompress.training.arguments import DistillationArguments
from hfcompress.training.teachers import Teacher
from hfcompress.training.trainer import DistillationTrainer


@dataclass
class QATArguments(DistillationArguments):
    """What `QATTrainer` needs beside `DistillationArguments`; also a dataclass for `HfArgumentParser`.

    Raises:
        InputError: as `DistillationArguments`, or a share that is none.
    """

    freeze_after: float = field(
        default=0.8, metadata={"help": "The share of all steps after which the scales stay as they are; 0 to 1."}
    )

    def __post_init__(self) -> None:
        if not 0 <= self.freeze_after <= 1:
            raise InputError(f"freeze_after is a share of all steps, from 0 to 1, got {self.freeze_after}")
        super().__post_init__()


class QATTrainer(DistillationTrainer):
    """Trains a model that rounds as INT8 will, towards a teacher (usually its own fp32 weights) and labels.

    Everything that `DistillationTrainer` does, it does as well. Beside it:

    - Learned scales take no weight decay, which would pull them to 0.
    - With an optimizer that normalizes gradients (all but SGD) each scale has a learning rate of its own, so that its
      steps are, relative to it, as large as those of the weights. That is what the gradient scale of LSQ is for (Esser
      et al. 2020, section 2.2), and Adam divides it out again (see Jain et al. 2020, TQT, on scale invariance): ten
      steps of 1e-4 would take a scale of 0.001 to nothing.
    - After `freeze_after` x all steps the scales stay, and only the weights go on.
    - Evaluation uses the rounded forward pass.

    With several processes, moving averages are those of the first: DDP gives its buffers to the others at each step.

    Args:
        model: fake-quantized (`insert_fake_quant_`) and calibrated (`calibrate_`).
        args: of training, and when scales freeze.
        teacher: as for `DistillationTrainer`; a copy of the model before `insert_fake_quant_` is a good one.
        trainer_args: of `Trainer`.

    Raises:
        InputError: the model is not fake-quantized, or layers would be run twice while averages move.
    """

    args: QATArguments

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        args: QATArguments,
        teacher: Teacher | PreTrainedModel | Sequence[Teacher | PreTrainedModel] | None = None,
        **trainer_args: Any,
    ) -> None:
        if not is_fake_quantized(model):
            raise InputError(
                "QATTrainer trains a fake-quantized model, and this one is not; call `insert_fake_quant_` and "
                "`calibrate_` first"
            )
        self._scales = tuple(fake_quant_parameters(model))
        if args.gradient_checkpointing and not self._scales:
            raise InputError(
                "gradient_checkpointing runs each layer twice, and the moving averages of its ranges would move twice; "
                "leave it out, or let scales be learned"
            )
        # Now, since a resumed training loads other scales before there is an optimizer.
        self._rates = _relative_rates(model, self._scales)
        super().__init__(model=model, args=args, teacher=teacher, **trainer_args)
        self.add_callback(FreezeScales(self._bare, args.freeze_after, self._scales))

    def _bare(self) -> nn.Module:
        bare: nn.Module = self.accelerator.unwrap_model(self.model)
        return bare

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """All that decay otherwise but the learned scales."""
        return [name for name in super().get_decay_parameter_names(model) if name not in self._rates]

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model; outside of checkpoints with what rounds it beside its weights, so that `load` reads it."""
        super().save_model(output_dir, _internal_call)
        split = self.is_fsdp_enabled or self.is_deepspeed_enabled
        if not _internal_call and self.args.should_save and not split:
            with self.bare_student() as model:
                save_weights(model, Path(output_dir or self.args.output_dir))

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """The optimizer, in which each learned scale is a group with a learning rate of its own."""
        made = self.optimizer is None
        optimizer: torch.optim.Optimizer = super().create_optimizer(*args, **kwargs)
        if made and self._rates and self.args.optim != OptimizerNames.SGD:
            _split_scales_(optimizer, self.model, self._rates)
        return optimizer


class FreezeScales(TrainerCallback):  # type: ignore[misc]  # Transformers is untyped
    """Keeps scales as they are once a share of all steps is done, also where training goes on from there.

    Args:
        model: gives the model without its wrapper.
        share: of all steps, 0 to 1.
        scales: names of the scales that are parameters.
    """

    def __init__(self, model: Callable[[], nn.Module], share: float, scales: Sequence[str]) -> None:
        self.model = model
        self.share = share
        self.scales = scales
        self.frozen = False

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Nothing is frozen yet in this training."""
        self.frozen = False

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """`state.global_step` steps are done: the number decides, so that nothing has to be kept in a checkpoint."""
        if not self.frozen and state.global_step >= math.ceil(self.share * state.max_steps):
            self.frozen = True
            freeze_observers_(self.model())
            if args.world_size > 1:
                for scale in self._parameters():
                    # DDP waits for the gradient of every parameter that it began with.
                    scale.requires_grad_(True)
                    scale.register_hook(torch.zeros_like)  # type: ignore[no-untyped-call]  # torch's own

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A gradient of 0 is not enough: Adam's momentum would go on moving the scales."""
        if self.frozen:
            for scale in self._parameters():
                scale.grad = None

    def _parameters(self) -> list[nn.Parameter]:
        model = self.model()
        return [model.get_parameter(name) for name in self.scales]


def _relative_rates(model: nn.Module, scales: Sequence[str]) -> dict[str, float]:
    """Scale's name -> its learning rate over that of the weights: median(scale) / rms(weights)."""
    known = dict(model.named_parameters())
    weights = [value.detach().float() for name, value in known.items() if name not in scales and value.dim() > 1]
    rms = math.sqrt(sum(float(value.square().sum()) for value in weights) / sum(value.numel() for value in weights))
    return {name: float(known[name].detach().abs().median()) / rms for name in scales}


def _split_scales_(optimizer: torch.optim.Optimizer, model: nn.Module, rates: dict[str, float]) -> None:
    """Move each scale out of its group into one of its own. The groups depend on names alone, for resuming."""
    scales: dict[int, tuple[Tensor, float]] = {
        id(value): (value, rates[name]) for name, value in model.named_parameters() if name in rates
    }
    for group in list(optimizer.param_groups):
        mine = [scales[id(value)] for value in group["params"] if id(value) in scales]
        group["params"] = [value for value in group["params"] if id(value) not in scales]
        settings = {name: value for name, value in group.items() if name != "params"}
        for scale, rate in mine:
            optimizer.add_param_group({**settings, "params": [scale], "lr": settings["lr"] * rate})
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
