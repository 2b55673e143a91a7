"""The progress bar and what it replaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from transformers import PrinterCallback, ProgressCallback

from hfcompress.errors import TrainingDivergedError
from hfcompress.training.callbacks import ProgressBarCallback, remove_default_progress_
from hfcompress.training.teachers import Teacher
from hfcompress.training.trainer import DistillationTrainer
from tests.training.toy import tiny_bert

Make = Callable[..., DistillationTrainer]


class Recorder:
    """A `Progress` and its one `Bar`."""

    def __init__(self) -> None:
        self.bars: list[tuple[str, int]] = []
        self.advances: list[tuple[int, str]] = []
        self.closed = 0

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Recorder]:
        self.bars.append((description, total))
        yield self
        self.closed += 1

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.advances.append((steps, note))

    def say(self, line: str) -> None:
        raise AssertionError(line)


def test_the_bar_counts_optimizer_steps_and_shows_the_loss(trainer: Make) -> None:
    progress = Recorder()
    callback = ProgressBarCallback(progress, "student")
    trainer(model=tiny_bert(), callbacks=[callback], logging_steps=2, gradient_accumulation_steps=2).train()
    assert progress.bars == [("student", 4)]
    assert sum(steps for steps, _ in progress.advances) == 4
    assert progress.advances[0] == (1, "")
    assert progress.advances[-1][1].startswith("loss 0.")
    assert progress.closed == 1


def test_the_bar_of_a_resumed_run_starts_at_its_step(trainer: Make, tmp_path: Path) -> None:
    settings = {"folder": tmp_path, "save_strategy": "steps", "save_steps": 3, "max_steps": 6}
    trainer(model=tiny_bert(), **settings).train()
    progress = Recorder()
    resumed = trainer(model=tiny_bert(), callbacks=[ProgressBarCallback(progress, "student")], **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert [steps for steps, _ in progress.advances] == [3, 1, 1, 1]


def test_the_bar_of_a_failed_run_is_closed_by_closing(trainer: Make) -> None:
    progress = Recorder()
    teacher = tiny_bert(1)
    teacher.classifier.bias.data[0] = float("nan")
    with closing(ProgressBarCallback(progress, "student")) as callback, pytest.raises(TrainingDivergedError):
        trainer(model=tiny_bert(), teacher=Teacher(teacher), callbacks=[callback]).train()
    assert progress.closed == 1


@pytest.mark.parametrize("disable_tqdm", [True, False])
def test_the_bars_and_prints_of_transformers_can_be_removed(trainer: Make, disable_tqdm: bool) -> None:
    training = trainer(model=tiny_bert(), disable_tqdm=disable_tqdm)
    remove_default_progress_(training)
    remove_default_progress_(training)
    default = (PrinterCallback, ProgressCallback)
    assert not any(isinstance(callback, default) for callback in training.callback_handler.callbacks)
