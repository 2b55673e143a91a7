"""What each of the processes in `test_two_processes.py` runs of training for INT8: whole, then cut and resumed."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from hfcompress.training.checkpoints import newest_intact
from hfcompress.training.qat_trainer import QATArguments, QATTrainer
from tests.training.toy import PowerCut, PowerCutError, collate, logged, rounded, sentence_pairs, tiny_bert


def training(folder: Path, rows_per_process: int, *, learned: bool, cut_at: int | None = None) -> QATTrainer:
    # Four steps in an epoch; scales freeze after step 5.
    return QATTrainer(
        model=rounded(tiny_bert(), learned=learned),
        teacher=tiny_bert(1),
        args=QATArguments(
            output_dir=str(folder),
            use_cpu=True,
            disable_tqdm=True,
            seed=1,
            max_steps=10,
            freeze_after=0.5,
            learning_rate=1e-3,
            # Where a gradient is nothing but rounding, Adam would make a whole step of it.
            adam_epsilon=1e-4,
            logging_steps=1,
            save_strategy="steps",
            save_steps=3,
            per_device_train_batch_size=rows_per_process,
            gradient_accumulation_steps=2,
        ),
        train_dataset=sentence_pairs(64),
        data_collator=collate,
        callbacks=[] if cut_at is None else [PowerCut(cut_at)],
    )


def report(folder: Path, *, learned: bool) -> dict[str, Any]:
    """Of one way to find scales, whatever a process can say."""
    start = rounded(tiny_bert(), learned=learned).state_dict()
    whole = training(folder / "whole", 4, learned=learned)
    whole.train()
    with contextlib.suppress(PowerCutError):
        training(folder / "cut", 4, learned=learned, cut_at=7).train()
    checkpoint, _ = newest_intact(folder / "cut")
    resumed = training(folder / "cut", 4, learned=learned)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    state, again = whole.model.state_dict(), resumed.model.state_dict()
    scales = [name for name in state if name.endswith("scale")]
    frozen = load_file(folder / "whole" / "checkpoint-9" / "model.safetensors")
    return {
        "losses": logged(whole, "loss"),
        "moved": sum(not torch.equal(state[name], start[name]) for name in scales) / len(scales),
        "stayed": all(torch.equal(state[name], frozen[name]) for name in scales),
        "state": {name: value.double().sum().item() for name, value in state.items()},
        "checkpoint": checkpoint and checkpoint.name,
        "resumed_bit_equal": all(torch.equal(state[name], again[name]) for name in state),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    found = {name: report(folder / name, learned=name == "learned") for name in ("learned", "followed")}
    rank = torch.distributed.get_rank()
    world = torch.distributed.get_world_size()
    (folder / f"rank{rank}.json").write_text(json.dumps({"world": world, **found}))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
