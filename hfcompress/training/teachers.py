"""Frozen teachers: one, or several as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hfcompress.errors import InputError
from hfcompress.recipe.objectives import TeacherChoice
from hfcompress.training.answers import Answer, Attends, ProjectionRecorder, Wants, ask, unlabelled_inputs_of
from hfcompress.training.heads import head_of

_NOTHING = Wants()


class Teacher:
    """A `PreTrainedModel` that is only asked: in eval mode, without gradients.

    Takes the model over: it is frozen in place, and must not be trained elsewhere at the same time.

    Attributes:
        model: the frozen model.
        autocast: the dtype that it computes in; None: that of its weights.
    """

    def __init__(self, model: PreTrainedModel, autocast: torch.dtype | None = None) -> None:
        self.model = model.eval().requires_grad_(False)
        self.autocast = autocast
        self._recorder: ProjectionRecorder | None = None

    @property
    def name(self) -> str:
        """How messages call it: where it was loaded from, else its class."""
        return _name(self.model)

    def to(self, device: torch.device | str) -> Teacher:
        """Move the model; `Trainer` and accelerate do not know it, so nobody else does."""
        self.model.to(device)
        return self

    @torch.no_grad()
    def answer(self, batch: Mapping[str, Any], wants: Wants = _NOTHING) -> Answer:
        """What the teacher says to the inputs in `batch` that it takes (labels are not shown to it)."""
        self._record(wants.projections)
        with self._autocast():
            return ask(self.model, unlabelled_inputs_of(self.model, batch), wants, self._recorder)

    def check_matches(self, student: PreTrainedModel) -> None:
        """Refuse a student whose outputs do not mean what the teacher's mean, or that has nothing to learn from it.

        Raises:
            InputError: they share parameters, are equal, have different heads, or differ in labels or vocabulary.
        """
        _check_separate(self, student)
        _check_heads(self, student)
        _check_labels(self, student)
        _check_vocabulary(self, student)
        _check_different(self, student)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.model.device.type, dtype=self.autocast)

    def _record(self, wanted: frozenset[Attends]) -> None:
        if self._recorder is not None:
            if self._recorder.wanted == wanted:
                return
            self._recorder.close()
        self._recorder = ProjectionRecorder(self.model, wanted)


class Teachers(Teacher):
    """Several teachers that answer as one.

    `average`: the mean of their outputs, weighted. `best`: for each row the outputs of the teacher with the smallest
    loss to the row's label (You et al. 2017 average; the choice by label follows Ruder et al. 2017); rows without a
    label get the mean.

    Args:
        teachers: two or more.
        weights: one for each, of any sum; default: equal ones.
        choice: `average` or `best`.

    Raises:
        InputError: weights of another number.
    """

    def __init__(
        self, teachers: Sequence[Teacher], weights: Sequence[float] | None = None, choice: TeacherChoice = "average"
    ) -> None:
        if weights is not None and len(weights) != len(teachers):
            raise InputError(f"{len(teachers)} teachers have {len(weights)} teacher_weights; give one for each")
        if len(teachers) < 2:
            raise InputError(
                f"teacher_weights and teacher_choice are for several teachers, got {len(teachers)}; leave them out"
            )
        if any(getattr(teacher, "temperature", None) is not None for teacher in teachers):
            raise InputError("caches of the likeliest classes of several teachers cannot be averaged; keep all classes")
        self.teachers = list(teachers)
        self.choice = choice
        total = sum(weights or [1.0] * len(teachers))
        self.weights = [weight / total for weight in weights or [1.0] * len(teachers)]

    @property
    def name(self) -> str:
        """The names of all."""
        return " and ".join(teacher.name for teacher in self.teachers)

    @property
    def autocast(self) -> torch.dtype | None:
        """The dtype that they compute in."""
        return self.teachers[0].autocast

    @autocast.setter
    def autocast(self, dtype: torch.dtype | None) -> None:
        for teacher in self.teachers:
            teacher.autocast = dtype

    def to(self, device: torch.device | str) -> Teachers:
        """Move all of them."""
        for teacher in self.teachers:
            teacher.to(device)
        return self

    @torch.no_grad()
    def answer(self, batch: Mapping[str, Any], wants: Wants = _NOTHING) -> Answer:
        """What they say together.

        Raises:
            InputError: something of the way to the outputs is wanted: layers of several models have no mean.
        """
        if wants != _NOTHING:
            raise InputError("hidden, relations and attention need one teacher; name one, or leave these parts out")
        answers = [teacher.answer(batch).outputs for teacher in self.teachers]
        names = [name for name, value in answers[0].items() if isinstance(value, Tensor)]
        mean = {name: self._mean([outputs[name] for outputs in answers]) for name in names}
        return Answer(mean if self.choice == "average" else self._best(answers, mean, batch))

    def check_matches(self, student: PreTrainedModel) -> None:
        """Every one of them must match."""
        for teacher in self.teachers:
            teacher.check_matches(student)
        self._head = head_of(student)
        if self.choice == "best" and not self._head.has_labels:
            raise InputError(f"teacher_choice best goes by labels, and {self._head} has none; use average")

    def _mean(self, values: Sequence[Tensor]) -> Tensor:
        return torch.stack([weight * value for weight, value in zip(self.weights, values, strict=True)]).sum(0)

    def _best(
        self, answers: Sequence[Mapping[str, Any]], mean: dict[str, Tensor], batch: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        labelled = self._head.labelled(batch)
        if labelled is None:
            return mean
        count = len(labelled)
        losses = torch.stack([self._head.label_losses(outputs, batch, 0.0).view(count, -1) for outputs in answers])
        best = losses.sum(-1).argmin(0)
        known = labelled.view(count, -1).any(-1)
        rows = torch.arange(count, device=best.device)
        chosen = {name: torch.stack([outputs[name] for outputs in answers])[best, rows] for name in mean}
        return {
            name: torch.where(known.view(-1, *[1] * (value.dim() - 1)), value, mean[name])
            for name, value in chosen.items()
        }


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


def _check_heads(teacher: Teacher, student: PreTrainedModel) -> None:
    theirs, ours = head_of(teacher.model), head_of(student)
    if type(theirs) is not type(ours):
        raise InputError(
            f"teacher {teacher.name} is {theirs} and student {_name(student)} is {ours}; choose two of one task"
        )


def _check_labels(teacher: Teacher, student: PreTrainedModel) -> None:
    if not any(part in type(student).__name__ for part in ("Classification", "QuestionAnswering")):
        return  # what a config of a bare encoder or a masked LM calls labels means nothing
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


def _check_different(teacher: Teacher, student: PreTrainedModel) -> None:
    if type(teacher.model) is not type(student):
        return
    theirs, ours = teacher.model.state_dict(), student.state_dict()
    if theirs.keys() != ours.keys() or any(theirs[name].shape != ours[name].shape for name in ours):
        return
    if all(torch.equal(theirs[name].to(ours[name].device), ours[name]) for name in ours):
        raise InputError(
            f"teacher {teacher.name} and student are equal, weight for weight, so there is nothing to learn from it; "
            "give the student fewer layers (keep_layers), or choose another teacher"
        )
