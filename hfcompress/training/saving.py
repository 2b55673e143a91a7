"""From a trainer to a model folder, however the weights are spread over processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfcompress.models.loading import save_model, save_weights
from hfcompress.training.trainer import DistillationTrainer


def save_trained(trainer: DistillationTrainer, processor: Any, folder: Path) -> None:
    """Write the student and its processor, if there is one, into `folder`. All processes call it, the main one writes.

    FSDP and DeepSpeed split weights over the processes: all of them take part in putting them together.
    """
    split = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    with trainer.bare_student() as student:
        weights = trainer.accelerator.get_state_dict(trainer.model_wrapped) if split else None
        if trainer.is_world_process_zero() and processor is None:
            save_weights(student, folder, weights)
        elif trainer.is_world_process_zero():
            save_model(student, processor, folder, weights)
