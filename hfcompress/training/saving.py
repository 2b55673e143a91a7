"""From a trainer to a model folder, however the weights are spread over processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Trainer

from hfcompress.models.loading import save_model


def save_trained(trainer: Trainer, processor: Any, folder: Path) -> None:
    """Write the trained model and its processor into `folder`. All processes call it, the main one writes.

    FSDP and DeepSpeed split weights over the processes: all of them take part in putting them together.
    """
    accelerator = trainer.accelerator
    model = accelerator.unwrap_model(trainer.model)
    split = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    weights = accelerator.get_state_dict(trainer.model_wrapped) if split else None
    if accelerator.is_main_process:
        save_model(model, processor, folder, weights)
