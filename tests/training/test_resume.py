"""A run that is stopped and goes on ends with the bits of a run that was not stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer

from hfcompress.training import trainer as trainer_module
from hfcompress.training.checkpoints import newest_intact, verify
from hfcompress.training.trainer import DistillationTrainer
from tests.training.toy import PowerCut, PowerCutError, sentence_pairs, tiny_bert, tiny_trainer

Make = Callable[..., DistillationTrainer]

# 6 steps in an epoch of 24 rows, three epochs, dropout on, rows of like length together.
RUN: dict[str, Any] = {
    "rows": sentence_pairs(24),
    "max_steps": 18,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "learning_rate": 3e-3,
    "save_strategy": "steps",
    "save_steps": 3,
    "logging_steps": 3,
}


def student() -> Any:
    return tiny_bert(dropout=0.3)


def cut(make: Make, folder: Path, step: int) -> None:
    with pytest.raises(PowerCutError):
        make(folder=folder, model=student(), teacher=tiny_bert(1), callbacks=[PowerCut(step)], **RUN).train()


def resumed(make: Make, folder: Path) -> dict[str, torch.Tensor]:
    checkpoint, _ = newest_intact(folder)
    training = make(folder=folder, model=student(), teacher=tiny_bert(1), **RUN)
    training.train(resume_from_checkpoint=str(checkpoint))
    return training.model.state_dict()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    training = tiny_trainer(folder, model=student(), teacher=tiny_bert(1), **RUN)
    training.train()
    return training.model.state_dict()


@pytest.mark.parametrize(
    ("step", "checkpoint"), [(4, 3), (8, 6), (17, 15)], ids=["mid-epoch", "at an epoch's end", "third epoch"]
)
def test_a_resumed_run_ends_bit_equal(
    trainer: Make, tmp_path: Path, uninterrupted: dict[str, torch.Tensor], step: int, checkpoint: int
) -> None:
    cut(trainer, tmp_path, step)
    assert newest_intact(tmp_path) == (tmp_path / f"checkpoint-{checkpoint}", [])
    torch.testing.assert_close(resumed(trainer, tmp_path), uninterrupted, rtol=0, atol=0)


def test_a_damaged_newest_checkpoint_costs_steps_but_no_bit(
    trainer: Make, tmp_path: Path, uninterrupted: dict[str, torch.Tensor]
) -> None:
    cut(trainer, tmp_path, 8)
    (tmp_path / "checkpoint-6" / "optimizer.pt").unlink()
    found, skipped = newest_intact(tmp_path)
    assert (found, skipped) == (tmp_path / "checkpoint-3", ["checkpoint-6/optimizer.pt is missing"])
    torch.testing.assert_close(resumed(trainer, tmp_path), uninterrupted, rtol=0, atol=0)


@pytest.mark.parametrize("moment", ["_save_optimizer_and_scheduler", "_save_rng_state", "write_manifest"])
def test_a_run_that_dies_while_it_saves_keeps_the_checkpoint_before(
    trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    owner = trainer_module if moment == "write_manifest" else Trainer
    original, calls = getattr(owner, moment), []

    def dies_the_third_time(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise PowerCutError
        original(*args)

    monkeypatch.setattr(owner, moment, dies_the_third_time)
    with pytest.raises(PowerCutError):
        trainer(folder=tmp_path, model=student(), **RUN).train()
    found, (skipped,) = newest_intact(tmp_path)
    assert found == tmp_path / "checkpoint-6"
    assert skipped.startswith("checkpoint-9 has no checkpoint-manifest.json")
    assert verify(tmp_path / "checkpoint-3") is None


def test_a_checkpoint_that_is_being_replaced_does_not_count_as_intact(
    trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(trainer, tmp_path, 7)

    def dies(*_: Any) -> None:
        raise PowerCutError

    training = trainer(folder=tmp_path, model=student(), teacher=tiny_bert(1), **RUN)
    monkeypatch.setattr(Trainer, "_save_checkpoint", dies)
    with pytest.raises(PowerCutError):
        training.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    found, (skipped,) = newest_intact(tmp_path)
    assert found == tmp_path / "checkpoint-3"
    assert skipped.startswith("checkpoint-6 has no")


def test_two_checkpoints_are_kept_and_both_are_intact(trainer: Make, tmp_path: Path) -> None:
    training = trainer(folder=tmp_path, model=student(), **RUN)
    training.train()
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-15", "checkpoint-18"}
    assert [verify(path) for path in tmp_path.glob("checkpoint-*")] == [None, None]
    assert training.args.save_total_limit == 2


def test_the_best_checkpoint_is_kept_and_loaded(trainer: Make, tmp_path: Path) -> None:
    settings = RUN | {"eval_strategy": "steps", "eval_steps": 3, "load_best_model_at_end": True}
    settings |= {"metric_for_best_model": "rank", "greater_is_better": True}
    ranks = iter([1.0, 9.0, 3.0, 2.0, 5.0, 4.0])
    training = trainer(
        folder=tmp_path,
        model=student(),
        trainer_args={"eval_dataset": sentence_pairs(8), "compute_metrics": lambda _: {"rank": next(ranks)}},
        **settings,
    )
    training.train()
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-6", "checkpoint-18"}
    best = load_file(tmp_path / "checkpoint-6" / "model.safetensors")
    torch.testing.assert_close(training.model.state_dict(), best, rtol=0, atol=0)


def test_a_checkpoint_without_its_optimizer_is_not_one_to_resume_from(trainer: Make, tmp_path: Path) -> None:
    trainer(folder=tmp_path, model=student(), save_only_model=True, **RUN).train()
    found, skipped = newest_intact(tmp_path)
    assert found is None
    assert "without its optimizer" in skipped[0]
