"""What each of the processes in `test_two_processes.py` runs: one whole run, then one that is cut and resumed."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from hfcompress.training.checkpoints import newest_intact
from hfcompress.training.trainer import DistillationTrainer
from tests.training.toy import PowerCut, PowerCutError, logged, sentence_pairs, tiny_bert, tiny_distilbert, tiny_trainer

PARTS = ("loss", "loss_kl", "loss_label", "grad_norm")
#: Losses that look into layers: projections lie outside of the student's forward, and relations alone use no output.
INSIDE: dict[str, dict[str, Any]] = {
    "hidden": {"hidden": {}},
    "relations": {"relations": {"heads": 2}, "kl_weight": 0.0, "label_weight": 0.0},
}


def training(folder: Path, rows_per_process: int, cut_at: int | None = None) -> DistillationTrainer:
    # Four steps in an epoch, so that step 6 is in the middle of the second one.
    return tiny_trainer(
        folder,
        model=tiny_distilbert(),
        teacher=tiny_bert(1),
        rows=sentence_pairs(64),
        callbacks=[] if cut_at is None else [PowerCut(cut_at)],
        max_steps=10,
        learning_rate=3e-3,
        # Where a gradient is nothing but rounding, Adam would make a whole step of it, in another direction each time.
        adam_epsilon=1e-4,
        logging_steps=1,
        save_strategy="steps",
        save_steps=3,
        per_device_train_batch_size=rows_per_process,
    )


def looking_inside(folder: Path, rows_per_process: int, name: str) -> list[float]:
    """The losses of a narrower student that learns from layers."""
    trainer = tiny_trainer(
        folder,
        model=tiny_bert(hidden_size=16, intermediate_size=32),
        teacher=tiny_bert(1),
        rows=sentence_pairs(64),
        max_steps=4,
        adam_epsilon=1e-4,
        logging_steps=1,
        per_device_train_batch_size=rows_per_process,
        **INSIDE[name],
    )
    trainer.train()
    return logged(trainer, "loss")


def history(trainer: DistillationTrainer) -> dict[str, list[float]]:
    return {part: logged(trainer, part) for part in PARTS}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    whole = training(folder / "whole", 8)
    whole.train()
    with contextlib.suppress(PowerCutError):
        training(folder / "cut", 8, cut_at=7).train()
    checkpoint, skipped = newest_intact(folder / "cut")
    resumed = training(folder / "cut", 8)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    same = all(torch.equal(a, b) for a, b in zip(parameters(whole), parameters(resumed), strict=True))
    report: dict[str, Any] = {
        "world": whole.args.world_size,
        "history": history(whole),
        "checkpoint": checkpoint and checkpoint.name,
        "skipped": skipped,
        "resumed_bit_equal": same,
        "inside": {name: looking_inside(folder / name, 8, name) for name in INSIDE},
    }
    (folder / f"rank{whole.args.process_index}.json").write_text(json.dumps(report))
    torch.distributed.destroy_process_group()


def parameters(trainer: DistillationTrainer) -> list[torch.Tensor]:
    return [value.detach() for value in trainer.model.state_dict().values()]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
