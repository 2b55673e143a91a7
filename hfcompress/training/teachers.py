"""A frozen teacher, and which of a batch's inputs a model takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hfcompress.errors import InputError


class Teacher:
    """A `PreTrainedModel` that is only asked: in eval mode, without gradients.

    Takes the model over: it is frozen in place, and must not be trained elsewhere at the same time.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model.eval().requires_grad_(False)

    @property
    def name(self) -> str:
        """How messages call it: where it was loaded from, else its class."""
        return _name(self.model)

    def to(self, device: torch.device | str) -> Teacher:
        """Move the model; `Trainer` and accelerate do not know it, so nobody else does."""
        self.model.to(device)
        return self

    @torch.no_grad()
    def logits(self, batch: Mapping[str, Any]) -> Tensor:
        """The logits `[rows, ..., C]` for the inputs in `batch` that the teacher takes (labels are not shown to it)."""
        inputs = inputs_of(self.model, batch)
        inputs.pop("labels", None)
        logits: Tensor = self.model(**inputs).logits
        return logits

    def check_matches(self, student: PreTrainedModel) -> None:
        """Refuse a student whose logits do not mean what the teacher's mean.

        Raises:
            InputError: they share parameters, differ in labels or vocabulary, or do not classify.
        """
        _check_separate(self, student)
        _check_labels(self, student)
        _check_vocabulary(self, student)
        _check_classifies(student)


def inputs_of(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """What of `batch` the `forward` of `model` names, as a new dict.

    Batches hold the union of what student and teacher take, and more (`row_id`). A `**kwargs` names nothing.
    """
    # From the class: accelerate replaces `forward` on the instance by a wrapper that names nothing.
    names = _parameters(type(model).forward)
    return {name: value for name, value in batch.items() if name in names}


@cache
def _parameters(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters) - {"self"}


def _name(model: PreTrainedModel) -> str:
    return getattr(model, "name_or_path", "") or type(model).__name__


def _check_separate(teacher: Teacher, student: PreTrainedModel) -> None:
    frozen = {id(parameter) for parameter in teacher.model.parameters()}
    shared = [name for name, parameter in student.named_parameters() if id(parameter) in frozen]
    if shared:
        raise InputError(
            f"teacher and student share {len(shared)} parameters ({shared[0]}, ...), and the teacher's are frozen; "
            f"load the student on its own, or copy the layers it takes from the teacher"
        )


def _check_labels(teacher: Teacher, student: PreTrainedModel) -> None:
    theirs, ours = teacher.model.config.id2label, student.config.id2label
    if theirs != ours:
        raise InputError(
            f"teacher and student label their outputs differently: teacher {teacher.name} {_labels(theirs)}, "
            f"student {_name(student)} {_labels(ours)}; load the student with "
            f"`id2label` and `label2id` of the teacher's config, or choose a teacher of the same task"
        )


def _labels(id2label: Mapping[int, str]) -> str:
    shown = ", ".join(f"{index}: {label}" for index, label in list(id2label.items())[:8])
    return f"{len(id2label)} ({shown}{', ...' if len(id2label) > 8 else ''})"


def _check_vocabulary(teacher: Teacher, student: PreTrainedModel) -> None:
    # Images have no vocabulary: then both are None.
    theirs = getattr(teacher.model.config, "vocab_size", None)
    ours = getattr(student.config, "vocab_size", None)
    if theirs != ours:
        raise InputError(
            f"teacher {teacher.name} has a vocabulary of {theirs} and student {_name(student)} of {ours}, so the same "
            f"token ids are other words; choose a teacher and a student with the same tokenizer"
        )


def _check_classifies(student: PreTrainedModel) -> None:
    # A softmax over one output is always 1: its KL would be 0 for every student, without a word.
    kind = student.config.problem_type
    if student.config.num_labels < 2 or kind in ("regression", "multi_label_classification"):
        raise InputError(
            f"student {_name(student)} has {student.config.num_labels} labels and problem_type {kind}; the KL of soft "
            f"targets needs one of several classes: train it without a teacher"
        )
