"""Memory runs out in the middle of training: the stage goes on from its checkpoint with smaller batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hfcompress.artifact import Artifact
from hfcompress.distill.stage import distill
from hfcompress.recipe.student import StudentConfig
from hfcompress.recipe.training_stages import DistillConfig
from hfcompress.stage import Inputs, Run
from hfcompress.training.trainer import DistillationTrainer
from tests import tiny

#: No dropout: its draws follow the shapes of the batches.
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
TRAINING = {
    "per_device_train_batch_size": 16,
    "learning_rate": 2e-3,
    "bf16": False,
    "save_strategy": "steps",
    "save_steps": 5,
    # Where a gradient is nothing but rounding, Adam would make a whole step of it.
    "adam_epsilon": 1e-4,
}


def test_a_stage_that_runs_out_of_memory_ends_as_if_it_had_not(
    make_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Artifact(tiny.save_bert(tmp_path / "teacher", head=True, **STILL), "torch")
    config = DistillConfig(student=StudentConfig(keep_layers=(0, 2)), training={**TRAINING, "num_train_epochs": 1})
    whole = distill(config, Inputs(teacher, (teacher,)), make_run("whole"))

    compute_loss, seen = DistillationTrainer.compute_loss, list[tuple[int, int]]()

    def small_memory(self: DistillationTrainer, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        rows, step = len(inputs["labels"]), self.state.global_step
        seen.append((rows, step))
        if rows > 4 and step == 7:
            raise torch.OutOfMemoryError
        return compute_loss(self, model, inputs, *rest, **named)

    monkeypatch.setattr(DistillationTrainer, "compute_loss", small_memory)
    squeezed = distill(config, Inputs(teacher, (teacher,)), make_run("squeezed"))
    assert squeezed.details is not None
    assert [
        (step["ran_out_at"], step["per_device_train_batch_size"], step["gradient_accumulation_steps"])
        for step in squeezed.details["smaller_batches"]
    ] == [(16, 8, 2), (8, 4, 4)]
    # From the checkpoint of step 5 each time, with the batch that fits.
    assert seen[:8] == [(16, step) for step in range(8)]
    assert seen[8:13] == [(8, 5), (8, 5), (8, 6), (8, 6), (8, 7)]
    assert set(seen[13:]) == {(4, step) for step in range(5, 24)}
    ours, theirs = (load_file(each.path / "model.safetensors") for each in (squeezed, whole))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
