"""What `DistillationTrainer` computes, step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel, Trainer

from hfcompress.errors import InputError
from hfcompress.training import losses
from hfcompress.training.answers import Answer, Wants
from hfcompress.training.losses import soft_target_kl
from hfcompress.training.sampler import LengthGroupedSampler, ShuffledSampler
from hfcompress.training.teachers import Teacher
from hfcompress.training.trainer import DistillationTrainer
from tests.training.toy import VOCABULARY, collate, logged, sentence_pairs, tiny_bert, tiny_distilbert

Make = Callable[..., DistillationTrainer]

DOCUMENTED_HOOKS = {
    "__init__",
    "compute_loss",
    "get_batch_samples",
    "get_train_dataloader",
    "prediction_step",
    "_get_train_sampler",
    "log",
    "save_model",
    "_save_checkpoint",
}


#: Attributes that plain trainers do not have; Transformers 4 does not know the last one.
OURS = {
    "teacher",
    "_loss",
    "_counts",
    "_micro_batches",
    "_parts",
    "_sampler_epoch",
    "loss_is_scaled_for_ga",
}


def weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def test_only_documented_hooks_of_trainer_are_overridden() -> None:
    ours = {name for name in vars(DistillationTrainer) if callable(vars(DistillationTrainer)[name])}
    assert {name for name in ours if hasattr(Trainer, name)} == DOCUMENTED_HOOKS


def test_our_own_attributes_do_not_hide_those_of_trainer(trainer: Make) -> None:
    ours = set(vars(trainer(model=tiny_bert(), teacher=tiny_bert(1))))
    plain = set(vars(Trainer(model=tiny_bert(), args=trainer(model=tiny_bert()).args)))
    assert ours - plain == OURS


@pytest.mark.parametrize("teacher", [None, tiny_bert(1)], ids=["labels", "distillation"])
def test_accumulating_four_rows_takes_the_step_of_a_batch_of_four(trainer: Make, teacher: Any, tmp_path: Path) -> None:
    rows = sentence_pairs(8)
    steps = []
    for batch, accumulation in ((4, 1), (1, 4)):
        student = tiny_bert()
        # As a `forward` with **kwargs does: then Trainer would leave the division to the model.
        student.accepts_loss_kwargs = True
        training = trainer(
            folder=tmp_path / str(batch),
            model=student,
            teacher=teacher,
            rows=rows,
            optim="sgd",
            learning_rate=1.0,
            max_grad_norm=0,
            lr_scheduler_type="constant",
            logging_steps=1,
            max_steps=2,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
        )
        training.train()
        steps.append((weights(training.model), logged(training, "loss"), logged(training, "loss_kl")))
    (whole, whole_loss, whole_kl), (accumulated, accumulated_loss, accumulated_kl) = steps
    # One step of lr 1 moves the weights by up to 0.1: a factor of 4 could not hide within the tolerance.
    torch.testing.assert_close(accumulated, whole, rtol=1e-4, atol=2e-6)
    assert any((whole[name] - value).abs().max() > 1e-2 for name, value in tiny_bert().state_dict().items())
    assert accumulated_loss == pytest.approx(whole_loss, abs=2e-4)
    assert accumulated_kl == pytest.approx(whole_kl, rel=1e-4)


def test_the_loss_is_the_weighted_sum_of_kl_and_labels(trainer: Make) -> None:
    student, teacher = tiny_bert(), tiny_bert(1)
    training = trainer(model=student, teacher=teacher, temperature=3.0, kl_weight=0.7, label_weight=0.4)
    training.current_gradient_accumulation_steps = 1
    batch = collate(list(sentence_pairs(8)))
    loss = training.compute_loss(student.train(), batch)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    logits = student(**inputs).logits
    kl = soft_target_kl(logits, teacher(**inputs).logits, 3.0).mean()
    torch.testing.assert_close(loss, 0.7 * kl + 0.4 * functional.cross_entropy(logits, batch["labels"]))


def test_each_part_is_logged_as_the_average_since_the_last_log(trainer: Make) -> None:
    # Six batches in an epoch: every second step accumulates two instead of four, and counts as much as the others.
    settings = {"rows": sentence_pairs(12), "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    logs = {}
    for every in (1, 3):
        training = trainer(model=tiny_bert(), teacher=tiny_bert(1), logging_steps=every, max_steps=6, **settings)
        training.train()
        logs[every] = {key: logged(training, key) for key in ("loss", "loss_kl", "loss_label")}
    for key in ("loss_kl", "loss_label"):
        single = logs[1][key]
        assert logs[3][key] == pytest.approx([sum(single[:3]) / 3, sum(single[3:]) / 3], rel=1e-5)
    parts = zip(logs[1]["loss_kl"], logs[1]["loss_label"], strict=True)
    assert logs[1]["loss"] == pytest.approx([0.9 * kl + 0.1 * label for kl, label in parts], abs=1e-4)


def test_the_teacher_sees_its_own_inputs_although_the_student_lacks_them(trainer: Make) -> None:
    seen: list[tuple[dict[str, torch.Tensor], torch.Tensor]] = []

    class Watched(Teacher):
        def answer(self, batch: Any, wants: Wants = Wants()) -> Answer:  # noqa: B008 - frozen
            answer = super().answer(batch, wants)
            seen.append((batch, answer.outputs["logits"]))
            return answer

    model = tiny_bert(1)
    trainer(model=tiny_distilbert(), teacher=Watched(model), max_steps=3).train()
    assert len(seen) == 3
    for batch, logits in seen:
        segments = batch["token_type_ids"]
        assert segments.any()
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        own = model(**inputs, token_type_ids=segments).logits
        torch.testing.assert_close(logits, own, rtol=0, atol=0)
        assert not torch.allclose(logits, model(**inputs).logits, atol=1e-2)


def test_eval_loss_is_the_task_loss(trainer: Make) -> None:
    student, rows = tiny_bert(), sentence_pairs(24, seed=5)
    training = trainer(
        model=student,
        teacher=tiny_bert(1),
        per_device_eval_batch_size=8,
        trainer_args={"eval_dataset": rows},
    )
    batch = collate(list(rows))
    names = ("input_ids", "attention_mask", "token_type_ids")
    logits = student.eval()(**{name: batch[name] for name in names}).logits
    expected = functional.cross_entropy(logits, batch["labels"]).item()
    assert training.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_smooths_the_label_part_only(trainer: Make) -> None:
    student = tiny_bert()
    training = trainer(model=student, teacher=tiny_bert(1), label_smoothing_factor=0.3, kl_weight=0.0, label_weight=1.0)
    training.current_gradient_accumulation_steps = 1
    batch = collate(list(sentence_pairs(8)))
    logits = student(**{name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}).logits
    expected = functional.cross_entropy(logits, batch["labels"], label_smoothing=0.3)
    torch.testing.assert_close(training.compute_loss(student.train(), batch), expected)


def test_rows_need_no_labels_when_labels_weigh_nothing(trainer: Make) -> None:
    def unlabelled(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {name: value for name, value in collate(rows).items() if name != "labels"}

    training = trainer(model=tiny_bert(), teacher=tiny_bert(1), kl_weight=1.0, label_weight=0.0, logging_steps=1)
    training.data_collator = unlabelled
    training.train()
    assert logged(training, "loss") == pytest.approx(logged(training, "loss_kl"), abs=1e-4)
    assert logged(training, "loss_label") == []


def test_the_rows_come_in_the_order_of_our_sampler(trainer: Make) -> None:
    rows = sentence_pairs(40)
    settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3, "data_seed": 9}
    grouped = trainer(model=tiny_bert(), rows=rows, **settings)._get_train_sampler()
    assert list(grouped) == list(LengthGroupedSampler(rows["length"], 6, seed=9))
    for plain in (
        trainer(model=tiny_bert(), rows=rows, length_grouped=False, **settings),
        trainer(model=tiny_bert(), rows=rows.remove_columns("length"), **settings),
        trainer(model=tiny_bert(), rows=list(rows), **settings),
    ):
        assert list(plain._get_train_sampler()) == list(ShuffledSampler(40, seed=9))


def test_the_loss_goes_down_on_a_task_that_can_be_learned(trainer: Make, tmp_path: Path) -> None:
    settings = {"rows": sentence_pairs(256), "max_steps": 60, "learning_rate": 3e-3, "per_device_train_batch_size": 16}
    batch = collate(list(sentence_pairs(200, seed=8)))
    fine_tuning = trainer(folder=tmp_path / "teacher", model=tiny_bert(1), **settings)
    fine_tuning.train()
    distillation = trainer(model=tiny_distilbert(), teacher=fine_tuning.model, **settings)
    distillation.train()
    for training, part in ((fine_tuning, "loss"), (distillation, "loss_kl"), (distillation, "loss_label")):
        assert logged(training, part)[-1] < 0.3 * logged(training, part)[0]
        right = Teacher(training.model).answer(batch).outputs["logits"].argmax(-1) == batch["labels"]
        assert right.float().mean() > 0.9


def test_a_teacher_that_does_not_fit_is_refused_before_anything_else(trainer: Make) -> None:
    with pytest.raises(InputError, match="vocabulary"):
        trainer(model=tiny_bert(), teacher=tiny_bert(1, vocab_size=VOCABULARY + 1))


def test_a_loss_function_of_ones_own_is_refused_beside_a_teacher(trainer: Make) -> None:
    with pytest.raises(InputError, match="compute_loss_func"):
        trainer(model=tiny_bert(), teacher=tiny_bert(1), trainer_args={"compute_loss_func": lambda *_: 0})


def test_a_weight_moves_along_its_schedule(trainer: Make) -> None:
    training = trainer(
        model=tiny_bert(),
        teacher=tiny_bert(1),
        kl_weight=0.8,
        label_weight=0.0,
        schedules={"kl": {"end": 0.0}, "label": {"end": 1.0, "shape": "cosine"}},
        logging_steps=1,
        max_steps=5,
    )
    training.train()
    losses = {key: logged(training, key) for key in ("loss", "loss_kl", "loss_label")}
    weights = zip((0.8, 0.6, 0.4, 0.2, 0.0), (0.0, 0.1464466, 0.5, 0.8535534, 1.0), strict=True)
    expected = [
        kl * kl_weight + label * label_weight
        for (kl_weight, label_weight), kl, label in zip(weights, losses["loss_kl"], losses["loss_label"], strict=True)
    ]
    assert losses["loss"] == pytest.approx(expected, abs=1e-4)


def test_several_teachers_are_averaged_in_training(trainer: Make) -> None:
    teachers = [tiny_bert(1), tiny_bert(2)]
    student, batch = tiny_bert(), collate(list(sentence_pairs(8)))
    training = trainer(model=student, teacher=teachers, kl_weight=1.0, label_weight=0.0, teacher_weights=[1.0, 3.0])
    training.current_gradient_accumulation_steps = 1
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    one, two = (model(**inputs).logits for model in teachers)
    expected = soft_target_kl(student(**inputs).logits, 0.25 * one + 0.75 * two, 2.0).mean()
    torch.testing.assert_close(training.compute_loss(student.train(), batch), expected)


@pytest.mark.parametrize("name", ["reverse_kl", "jsd", "mse"])
def test_the_comparison_can_be_chosen(trainer: Make, name: str) -> None:
    teacher, student, batch = tiny_bert(1), tiny_bert(), collate(list(sentence_pairs(8)))
    training = trainer(model=student, teacher=teacher, kl_weight=1.0, label_weight=0.0, soft_loss=name, beta=0.3)
    training.current_gradient_accumulation_steps = 1
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids")}
    ours, theirs = student(**inputs).logits, teacher(**inputs).logits
    expected = {
        "reverse_kl": losses.reverse_kl(ours, theirs, 2.0),
        "jsd": losses.generalized_jsd(ours, theirs, 2.0, 0.3),
        "mse": losses.mse(ours, theirs),
    }[name]
    torch.testing.assert_close(training.compute_loss(student.train(), batch), expected.mean())


def test_labels_that_are_missing_are_missed_where_they_weigh_something(trainer: Make) -> None:
    def unlabelled(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {name: value for name, value in collate(rows).items() if name != "labels"}

    training = trainer(model=tiny_bert(), teacher=tiny_bert(1))
    training.data_collator = unlabelled
    with pytest.raises(InputError, match="no labels for a classifier to learn from; add them, or"):
        training.train()


def test_eval_loss_is_not_smoothed(trainer: Make) -> None:
    losses_of = [
        trainer(
            model=tiny_bert(), trainer_args={"eval_dataset": sentence_pairs(16)}, label_smoothing_factor=smoothing
        ).evaluate()["eval_loss"]
        for smoothing in (0.0, 0.3)
    ]
    assert losses_of[0] == losses_of[1]


def test_rows_without_labels_can_be_evaluated(trainer: Make) -> None:
    def unlabelled(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {name: value for name, value in collate(rows).items() if name != "labels"}

    training = trainer(model=tiny_distilbert(), teacher=tiny_bert(1), trainer_args={"data_collator": unlabelled})
    assert len(training.predict(sentence_pairs(8)).predictions) == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher": [tiny_bert(1)], "teacher_choice": "best"}, "for several teachers, got 1"),
        ({"teacher": tiny_bert(1), "teacher_weights": [1.0]}, "for several teachers, got 1"),
        ({"teacher": []}, "for several teachers, got 0"),
    ],
)
def test_options_of_several_teachers_need_several(trainer: Make, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        trainer(model=tiny_bert(), **settings)


def test_labels_of_another_problem_are_refused(trainer: Make) -> None:
    def several(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return collate(rows) | {"labels": torch.ones(len(rows), 2)}

    training = trainer(model=tiny_bert(), trainer_args={"data_collator": several})
    with pytest.raises(InputError, match="problem_type='multi_label_classification'"):
        training.train()


def test_a_cache_of_the_likeliest_at_another_temperature_is_refused(trainer: Make) -> None:
    class Kept(Teacher):
        temperature = 4.0

    with pytest.raises(InputError, match=r"at temperature 4.0, and temperature is 1.0; fill another one"):
        trainer(model=tiny_bert(), teacher=Kept(tiny_bert(1)), temperature=1.0)
    trainer(model=tiny_bert(), teacher=Kept(tiny_bert(1)), temperature=4.0)
    with pytest.raises(InputError, match="cannot be averaged"):
        trainer(model=tiny_bert(), teacher=[Kept(tiny_bert(1)), tiny_bert(2)], temperature=4.0)
