"""The frozen teacher, its checks, and which inputs a model gets."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification

from hfcompress.errors import InputError
from hfcompress.training.answers import Wants, inputs_of
from hfcompress.training.heads import head_of
from hfcompress.training.teachers import Teacher, Teachers
from tests.training.toy import collate, sentence_pairs, tiny_bert, tiny_distilbert


def test_each_model_gets_what_its_forward_names() -> None:
    batch = collate(list(sentence_pairs(2)))
    assert set(inputs_of(tiny_bert(), batch)) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
    assert set(inputs_of(tiny_distilbert(), batch)) == {"input_ids", "attention_mask", "labels"}


def test_a_teacher_is_frozen_and_in_eval_mode() -> None:
    model = tiny_bert(dropout=0.5).train()
    teacher = Teacher(model)
    batch = collate(list(sentence_pairs(4)))
    first = teacher.answer(batch).outputs["logits"]
    assert not first.requires_grad
    assert not any(parameter.requires_grad for parameter in model.parameters())
    torch.testing.assert_close(teacher.answer(batch).outputs["logits"], first, rtol=0, atol=0)


def test_a_teacher_that_fits_is_accepted() -> None:
    Teacher(tiny_bert(1)).check_matches(tiny_distilbert())


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ({"id2label": {0: "high", 1: "low"}}, r"2 \(0: low, 1: high\), student .* 2 \(0: high, 1: low\)"),
        ({"id2label": {0: "a", 1: "b", 2: "c"}}, r"3 \(0: a, 1: b, 2: c\); load the student with `id2label`"),
        ({"vocab_size": 65}, "vocabulary of 64 and student .* of 65.* same tokenizer"),
    ],
)
def test_a_student_whose_outputs_or_words_mean_something_else_is_refused(student: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Teacher(tiny_bert(1)).check_matches(tiny_bert(**student))


def test_a_softmax_over_one_class_is_refused() -> None:
    student = tiny_bert(id2label={0: "score"}, label2id={"score": 0})
    student.config.problem_type = "single_label_classification"  # Transformers 5 refuses it in a new config
    with pytest.raises(InputError, match="a single class; give it two or more"):
        head_of(student)


def test_a_teacher_of_another_task_is_refused() -> None:
    with pytest.raises(InputError, match=r"is a regression and student .* is a multi-label classifier"):
        Teacher(tiny_bert(1, problem_type="regression")).check_matches(
            tiny_bert(problem_type="multi_label_classification")
        )


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    with pytest.raises(InputError, match=r"equal, weight for weight.*keep_layers"):
        Teacher(tiny_bert(1)).check_matches(tiny_bert(1))


def test_a_student_that_shares_the_teachers_parameters_is_refused() -> None:
    model = tiny_bert()
    with pytest.raises(InputError, match=r"share .* parameters"):
        Teacher(model).check_matches(model)
    student = tiny_bert(1)
    student.bert.embeddings = model.bert.embeddings
    with pytest.raises(InputError, match=r"share 5 parameters \(bert.embeddings"):
        Teacher(model).check_matches(student)


def test_images_have_no_vocabulary_to_compare() -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = ViTConfig(**sizes, image_size=8, patch_size=4, num_channels=1, num_labels=3)
    Teacher(ViTForImageClassification(config)).check_matches(ViTForImageClassification(config))


def batch_of(rows: int = 6, **labels: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**collate(list(sentence_pairs(rows))), **labels}


def test_the_mean_of_several_teachers_is_weighted() -> None:
    models = [tiny_bert(seed) for seed in (1, 2)]
    batch = batch_of()
    one, two = (Teacher(model).answer(batch).outputs["logits"] for model in models)
    together = Teachers([Teacher(model) for model in models], weights=[3, 1])
    torch.testing.assert_close(together.answer(batch).outputs["logits"], 0.75 * one + 0.25 * two)


def test_the_best_teacher_is_chosen_row_by_row_and_unlabelled_rows_get_the_mean() -> None:
    models = [tiny_bert(seed) for seed in (1, 2, 3)]
    labels = torch.tensor([0, 1, 0, 1, -100, 0])
    batch = batch_of(labels=labels)
    each = torch.stack([Teacher(model).answer(batch).outputs["logits"] for model in models])
    together = Teachers([Teacher(model) for model in models], choice="best")
    together.check_matches(tiny_bert())
    answer = together.answer(batch).outputs["logits"]
    for row, label in enumerate(labels.tolist()):
        if label == -100:
            expected = each[:, row].mean(0)
        else:
            losses = [functional.cross_entropy(logits[row], labels[row]) for logits in each]
            expected = each[int(torch.stack(losses).argmin()), row]
        torch.testing.assert_close(answer[row], expected)


def test_a_teacher_computes_in_the_dtype_that_it_is_told() -> None:
    batch = batch_of()
    model = tiny_bert(1)
    exact = Teacher(model).answer(batch).outputs["logits"]
    half = Teacher(model, autocast=torch.bfloat16).answer(batch).outputs["logits"]
    assert (half.dtype, exact.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(half.float(), exact, rtol=0.05, atol=0.1)


def test_several_teachers_need_a_weight_each_and_show_no_layers() -> None:
    teachers = [Teacher(tiny_bert(seed)) for seed in (1, 2)]
    with pytest.raises(InputError, match="2 teachers have 3 teacher_weights"):
        Teachers(teachers, weights=[1, 1, 1])
    with pytest.raises(InputError, match="need one teacher"):
        Teachers(teachers).answer(batch_of(), Wants(hidden_states=True))


def test_projections_are_what_the_modules_put_out() -> None:
    model, batch = tiny_bert(1), batch_of()
    answer = Teacher(model).answer(batch, Wants(hidden_states=True, projections=frozenset({1})))
    attention = model.bert.encoder.layer[1].attention.self
    for ours, module in zip(answer.projections[1], (attention.query, attention.key, attention.value), strict=True):
        torch.testing.assert_close(ours, module(answer.hidden_states[1]))
