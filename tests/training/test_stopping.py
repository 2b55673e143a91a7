"""SIGTERM in training: the running step ends, a checkpoint is saved, and the resumed run ends where it would have."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.distributed import HashStore
from transformers import TrainerCallback, TrainerControl

from hfcompress.distributed.world import World
from hfcompress.errors import Terminated
from hfcompress.training.checkpoints import newest_intact
from hfcompress.training.stopping import StopOnRequest, stopping
from tests.training.toy import tiny_bert, tiny_trainer


class Terminate(TrainerCallback):
    """Sends SIGTERM to this process within a step, more than once."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)


def trained(folder: Path, *callbacks: TrainerCallback, resume: Path | None = None) -> dict[str, torch.Tensor]:
    trainer = tiny_trainer(folder, model=tiny_bert(dropout=0.1), callbacks=list(callbacks), max_steps=6)
    with stopping(trainer, World()):
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return {name: value.detach() for name, value in trainer.model.state_dict().items()}


def test_sigterm_saves_at_the_end_of_the_step_and_the_resumed_weights_are_bit_equal(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated) as ended:
        trained(tmp_path / "stopped", Terminate(step=2))
    assert ended.value.code == 143
    assert ended.value.saved == "a checkpoint of step 3 of 6 was saved"
    assert signal.getsignal(signal.SIGTERM) is before
    checkpoint, skipped = newest_intact(tmp_path / "stopped")
    assert checkpoint is not None
    assert (checkpoint.name, skipped) == ("checkpoint-3", [])

    whole, resumed = trained(tmp_path / "whole"), trained(tmp_path / "stopped", resume=checkpoint)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_training_that_nobody_stops_returns(tmp_path: Path) -> None:
    trained(tmp_path)
    assert list(tmp_path.glob("checkpoint-*")) == []


@pytest.mark.parametrize("seed", range(20))
def test_all_ranks_stop_after_the_same_step_whoever_is_asked_and_whenever(seed: int) -> None:
    """Threads for ranks, a barrier for the gradients that a step takes from everybody, and chance for the rest."""
    rng, store, ranks = random.Random(seed), HashStore(), 3
    gradients = threading.Barrier(ranks, timeout=5)
    asked = {rank: rng.randrange(8) for rank in rng.sample(range(ranks), rng.randint(1, ranks))}
    naps = [[rng.random() * 2e-3 for _ in range(30)] for _ in range(ranks)]
    stopped: dict[int, int | None] = {}

    def train(rank: int) -> None:
        stop, control = StopOnRequest(World(rank, ranks, store)), TrainerControl()
        for step in range(30):
            gradients.wait()
            time.sleep(naps[rank][step])
            if asked.get(rank) == step:
                stop.ask()
            stop.on_step_end(None, SimpleNamespace(global_step=step + 1), control)
            if control.should_training_stop:
                assert control.should_save
                break
        stopped[rank] = stop.stopped

    threads = [threading.Thread(target=train, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = min(asked.values())
    assert stopped == dict.fromkeys(range(ranks), first + 2)
