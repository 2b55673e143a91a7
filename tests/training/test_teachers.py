"""The frozen teacher, its checks, and which inputs a model gets."""

from __future__ import annotations

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from hfcompress.errors import InputError
from hfcompress.training.teachers import Teacher, inputs_of
from tests.training.toy import collate, sentence_pairs, tiny_bert, tiny_distilbert


def test_each_model_gets_what_its_forward_names() -> None:
    batch = collate(list(sentence_pairs(2)))
    assert set(inputs_of(tiny_bert(), batch)) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
    assert set(inputs_of(tiny_distilbert(), batch)) == {"input_ids", "attention_mask", "labels"}


def test_a_teacher_is_frozen_and_in_eval_mode() -> None:
    model = tiny_bert(dropout=0.5).train()
    teacher = Teacher(model)
    batch = collate(list(sentence_pairs(4)))
    first = teacher.logits(batch)
    assert not first.requires_grad
    assert not any(parameter.requires_grad for parameter in model.parameters())
    torch.testing.assert_close(teacher.logits(batch), first, rtol=0, atol=0)


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


@pytest.mark.parametrize(
    "kind", [{"problem_type": "multi_label_classification"}, {"id2label": {0: "score"}, "label2id": {"score": 0}}]
)
def test_a_task_without_classes_to_choose_from_is_refused(kind: dict) -> None:
    with pytest.raises(InputError, match="train it without a teacher"):
        Teacher(tiny_bert(1, **kind)).check_matches(tiny_bert(**kind))


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
