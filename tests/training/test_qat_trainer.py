"""Training for INT8: what happens to scales, when, and also after a stop."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from hfcompress.errors import InputError
from hfcompress.models.fake_quant import fake_quant_parameters, is_fake_quantized
from hfcompress.training.checkpoints import newest_intact
from hfcompress.training.qat_trainer import QATArguments, QATTrainer
from tests.training.toy import PowerCut, PowerCutError, collate, logged, rounded, sentence_pairs, tiny_bert

#: 6 steps in an epoch of 24 rows, one and a half epochs, rows of like length together; scales freeze after step 5.
RUN: dict[str, Any] = {
    "max_steps": 9,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "learning_rate": 3e-3,
    "freeze_after": 0.5,
    "save_strategy": "steps",
    "save_steps": 3,
}

Make = Callable[..., QATTrainer]


@pytest.fixture
def qat(tmp_path: Path) -> Make:
    def make(
        model: Any, teacher: Any = None, callbacks: Any = None, eval_dataset: Any = None, **args: Any
    ) -> QATTrainer:
        args = {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "max_steps": 4, "seed": 1} | args
        return QATTrainer(
            model=model,
            teacher=teacher,
            args=QATArguments(**{"output_dir": str(tmp_path / "work"), **args}),
            train_dataset=sentence_pairs(24),
            eval_dataset=eval_dataset,
            data_collator=collate,
            callbacks=callbacks,
        )

    return make


class Scales(TrainerCallback):
    """Keeps every scale of a model as it is when a step begins, and at the end."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.seen: list[torch.Tensor] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.seen.append(self.now())

    def moved(self) -> list[bool]:
        """Of each step, whether any scale moved in it."""
        return [not torch.equal(before, after) for before, after in pairwise([*self.seen, self.now()])]

    def now(self) -> torch.Tensor:
        state = self.model.state_dict()
        return torch.cat([value.flatten().clone() for name, value in state.items() if name.endswith("scale")])


@pytest.mark.parametrize("learned", [True, False], ids=["learned", "moving average"])
def test_scales_move_until_their_step_and_not_after_it(qat: Make, learned: bool) -> None:
    model = rounded(tiny_bert(), learned=learned)
    scales = Scales(model)
    qat(model, tiny_bert(1), callbacks=[scales], **RUN).train()
    assert scales.moved() == [True] * 5 + [False] * 4


@pytest.mark.parametrize(("share", "moving"), [(0.0, 0), (1.0, 4), (0.3, 2)])
def test_the_share_is_rounded_up_to_whole_steps(qat: Make, share: float, moving: int) -> None:
    model = rounded(tiny_bert())
    scales = Scales(model)
    qat(model, callbacks=[scales], freeze_after=share).train()
    assert sum(scales.moved()) == moving


def test_weights_go_on_when_scales_are_frozen(qat: Make) -> None:
    model = rounded(tiny_bert())
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    qat(model, freeze_after=0.0).train()
    scales = fake_quant_parameters(model)
    moved = {name for name, value in model.named_parameters() if not torch.equal(before[name], value)}
    assert not moved & set(scales)
    assert moved >= {name for name in before if name.endswith("query.weight")}


@pytest.mark.parametrize("learned", [True, False], ids=["learned", "moving average"])
def test_a_resumed_run_ends_bit_equal(qat: Make, tmp_path: Path, learned: bool) -> None:
    def training(folder: str, *callbacks: Any) -> QATTrainer:
        model = rounded(tiny_bert(dropout=0.3), learned=learned)
        return qat(model, tiny_bert(1), list(callbacks), output_dir=str(tmp_path / folder), **RUN)

    whole = training("whole")
    whole.train()
    for step, name in ((4, "before the freeze"), (7, "after it")):
        with pytest.raises(PowerCutError):
            training(name, PowerCut(step)).train()
        checkpoint, skipped = newest_intact(tmp_path / name)
        assert (checkpoint, skipped) == (tmp_path / name / f"checkpoint-{step // 3 * 3}", [])
        resumed = training(name)
        resumed.train(resume_from_checkpoint=str(checkpoint))
        torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_learned_scales_do_not_decay_and_weights_do(qat: Make) -> None:
    model = rounded(tiny_bert())
    trainer = qat(model, weight_decay=0.1)
    decaying = set(trainer.get_decay_parameter_names(model))
    assert not decaying & set(fake_quant_parameters(model))
    assert "bert.encoder.layer.0.attention.self.query.weight" in decaying
    for group in trainer.create_optimizer().param_groups:
        names = [name for name, value in model.named_parameters() if any(value is each for each in group["params"])]
        assert group["weight_decay"] == (0.1 if set(names) <= decaying else 0.0)


def test_the_step_of_a_scale_is_relative_to_it_as_large_as_that_of_the_weights(qat: Make) -> None:
    """Adam's first step is its learning rate, whatever the gradient."""
    model = rounded(tiny_bert())
    before = {name: value.detach().double().numpy().copy() for name, value in model.named_parameters()}
    matrices = np.concatenate([value.ravel() for name, value in before.items() if value.ndim > 1])
    relative = 1e-4 / np.sqrt(np.mean(matrices**2))
    qat(model, max_steps=1, learning_rate=1e-4, freeze_after=1.0, adam_epsilon=1e-30).train()
    for name in fake_quant_parameters(model):
        after = dict(model.named_parameters())[name].detach().double().numpy()
        step = np.abs(after - before[name]) / np.quantile(before[name], 0.5, method="lower")
        moved = step[step > 0]
        np.testing.assert_allclose(moved, relative, rtol=1e-3, err_msg=name)


def test_every_parameter_is_in_one_group(qat: Make) -> None:
    model = rounded(tiny_bert())
    held = [id(value) for group in qat(model).create_optimizer().param_groups for value in group["params"]]
    assert sorted(held) == sorted(id(value) for value in model.parameters())


def test_sgd_keeps_the_gradient_scale_of_lsq_and_one_learning_rate(qat: Make) -> None:
    trainer = qat(rounded(tiny_bert()), optim="sgd")
    assert {group["lr"] for group in trainer.create_optimizer().param_groups} == {trainer.args.learning_rate}


def test_evaluation_rounds(qat: Make) -> None:
    plain, rows = tiny_bert(), sentence_pairs(8, seed=3)
    model = rounded(copy.deepcopy(plain))
    found = qat(model, eval_dataset=rows).evaluate()["eval_loss"]
    batch = collate(list(rows))
    del batch["row_id"]
    with torch.no_grad():
        assert found == pytest.approx(float(model.eval()(**batch).loss), rel=1e-6)
        assert found != pytest.approx(float(plain.eval()(**batch).loss), rel=1e-6)


def test_its_own_weights_in_floating_point_teach_it(qat: Make) -> None:
    """At the first step they are equal, weight for weight: what it learns is to bear the rounding."""
    plain = tiny_bert()
    trainer = qat(rounded(copy.deepcopy(plain)), plain, logging_steps=1, kl_weight=1.0, label_weight=0.0, max_steps=1)
    trainer.train()
    assert logged(trainer, "loss_kl")[0] > 0


def test_accumulation_takes_the_step_of_one_batch(qat: Make) -> None:
    weights = []
    for rows, passes in ((8, 1), (2, 4)):
        model = rounded(tiny_bert())
        qat(
            model, tiny_bert(1), per_device_train_batch_size=rows, gradient_accumulation_steps=passes,
            optim="sgd", learning_rate=0.1, max_steps=2, max_grad_norm=0.0,
        ).train()  # fmt: skip
        weights.append({name: value for name, value in model.named_parameters() if not name.endswith("scale")})
    torch.testing.assert_close(*weights, rtol=1e-3, atol=2e-4)


def test_a_model_in_floating_point_is_refused(qat: Make) -> None:
    model = tiny_bert()
    with pytest.raises(InputError, match="this one is not; call `insert_fake_quant_` and `calibrate_` first"):
        qat(model)
    assert not is_fake_quantized(model)


def test_moving_averages_do_not_go_with_running_layers_twice(qat: Make) -> None:
    fives = hasattr(QATArguments, "activation_checkpointing")
    name = "activation_checkpointing" if fives else "gradient_checkpointing"
    with pytest.raises(InputError, match="gradient_checkpointing runs each layer twice"):
        qat(rounded(tiny_bert(), learned=False), **{name: True})


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(InputError, match=f"from 0 to 1, got {share}"):
        QATArguments(output_dir=str(tmp_path), freeze_after=share)
