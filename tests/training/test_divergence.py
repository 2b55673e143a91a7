"""NaN and infinity stop the training, with the step, the part and the rows in the message."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from hfcompress.errors import TrainingDivergedError
from hfcompress.training import output_objectives
from hfcompress.training.answers import Answer, Wants
from hfcompress.training.checkpoints import newest_intact
from hfcompress.training.divergence import non_finite_tensor
from hfcompress.training.teachers import Teacher
from hfcompress.training.trainer import DistillationTrainer
from tests.training.toy import tiny_bert

Make = Callable[..., DistillationTrainer]


class PoisonWeights(TrainerCallback):
    """Writes NaN into the classifier once `step` steps are done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == self.step:
            with torch.no_grad():
                model.classifier.weight[0, 0] = float("nan")


class InfiniteTeacher(Teacher):
    """Gives infinity for the first row of its third batch."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.rows: list[int] = []
        self.calls = 0

    def answer(self, batch: Any, wants: Wants = Wants()) -> Answer:  # noqa: B008 - frozen
        self.calls += 1
        answer = super().answer(batch, wants)
        if self.calls == 3:
            self.rows = batch["row_id"].tolist()
            answer.outputs["logits"][0, 1] = float("inf")
        return answer


def test_a_teacher_that_gives_infinity_is_named_with_its_row(trainer: Make) -> None:
    teacher = InfiniteTeacher(tiny_bert(1))
    training = trainer(model=tiny_bert(), teacher=teacher)
    with pytest.raises(TrainingDivergedError) as caught:
        training.train()
    message = str(caught.value)
    assert re.search(r"at step 3 in kl \(kl nan, label 0\.\d+\)", message)
    assert f"the teacher's outputs are the cause; row_id {teacher.rows[0]};" in message
    assert training.state.global_step == 2


@pytest.mark.parametrize("teacher", [None, tiny_bert(1)], ids=["labels", "distillation"])
def test_weights_of_nan_stop_the_next_step(trainer: Make, teacher: Any) -> None:
    training = trainer(model=tiny_bert(), teacher=teacher, callbacks=[PoisonWeights(2)])
    with pytest.raises(TrainingDivergedError, match=r"at step 3 in .*the student's outputs.*row_id 1\d{3}, 1\d{3}"):
        training.train()


def test_an_infinite_loss_of_finite_logits_is_told_from_bad_logits(trainer: Make) -> None:
    training = trainer(model=tiny_bert(), trainer_args={"compute_loss_func": lambda *_, **__: torch.tensor(torch.inf)})
    with pytest.raises(TrainingDivergedError, match=r"at step 1 in label .*all outputs are finite; row_id"):
        training.train()


def test_weights_of_nan_are_never_saved_and_the_last_good_checkpoint_stays(trainer: Make, tmp_path: Path) -> None:
    training = trainer(
        folder=tmp_path,
        model=tiny_bert(),
        teacher=tiny_bert(1),
        callbacks=[PoisonWeights(4)],
        save_strategy="steps",
        save_steps=2,
        max_steps=8,
    )
    with pytest.raises(TrainingDivergedError, match=r"by step 4 \(classifier.weight\), so no checkpoint was written"):
        training.train()
    assert newest_intact(tmp_path) == (tmp_path / "checkpoint-2", [])
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]


def test_saved_buffers_must_be_finite_and_others_need_not() -> None:
    model = torch.nn.BatchNorm1d(3)
    model.register_buffer("mask", torch.tensor([-torch.inf]), persistent=False)
    assert non_finite_tensor(torch.nn.Sequential(model)) is None
    model.running_var[1] = torch.inf
    assert non_finite_tensor(torch.nn.Sequential(model)) == "0.running_var"


class BrokenGradient(torch.autograd.Function):
    """The value itself, with a gradient of NaN for the second row."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        gradient[1] = float("nan")
        return gradient


@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
def test_a_gradient_of_nan_stops_the_step_and_names_part_parameter_and_rows(
    trainer: Make, monkeypatch: pytest.MonkeyPatch, max_grad_norm: float
) -> None:
    student = tiny_bert()
    training = trainer(model=student, teacher=tiny_bert(1), max_grad_norm=max_grad_norm)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    exact = output_objectives.losses.soft_target_kl
    monkeypatch.setattr(
        output_objectives.losses, "soft_target_kl", lambda student, *rest: exact(BrokenGradient.apply(student), *rest)
    )
    with pytest.raises(TrainingDivergedError) as caught:
        training.train()
    assert re.search(
        r"gradient became NaN .* at step 1, first in bert\.\S+, in the part kl; row_id 1\d{3}", str(caught.value)
    )
    torch.testing.assert_close(student.state_dict(), before, rtol=0, atol=0)
