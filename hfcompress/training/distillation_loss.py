"""The whole loss of a student: its parts, what they ask of student and teacher, their weights, and their counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hfcompress.errors import InputError
from hfcompress.recipe.objectives import DistillationObjectives, Part
from hfcompress.training.answers import Answer, ProjectionRecorder, Wants, ask, unlabelled_inputs_of
from hfcompress.training.heads import Batch, Head, head_of
from hfcompress.training.layer_objectives import AttentionMaps, HiddenStates, Relations
from hfcompress.training.objective import Count, Objective, counts_of
from hfcompress.training.output_objectives import LabelLoss, SoftTargets
from hfcompress.training.schedule import weight_at
from hfcompress.training.teachers import Teacher

_NOTHING = Answer({})

Counts = Mapping[Count, Tensor]


class DistillationLoss:
    """Weighted parts, each a mean over items of a whole optimizer step.

    Args:
        config: the parts and their weights.
        student: the model that is trained; recorders of projections hook into it.
        teacher: None where no part asks for one.
        smoothing: of labels.

    Raises:
        InputError: a part does not suit the models.
    """

    def __init__(
        self, config: DistillationObjectives, student: PreTrainedModel, teacher: Teacher | None, smoothing: float
    ) -> None:
        kept_at = getattr(teacher, "temperature", None)
        if kept_at not in (None, config.temperature) and "kl" in config.parts():
            raise InputError(
                f"the teacher's cache keeps what is likeliest at temperature {kept_at}, and temperature is "
                f"{config.temperature}; fill another one"
            )
        self._config = config
        self._head = head_of(student)
        opened = getattr(teacher, "model", None)  # several teachers, or a cache, show no layers
        self.objectives = objectives_for(config, self._head, student, opened, smoothing)
        self._teacher = teacher if any(each.asks_teacher for each in self.objectives) else None
        self._student_wants = _all([each.student_wants for each in self.objectives])
        self._teacher_wants = _all([each.teacher_wants for each in self.objectives])
        wanted = self._student_wants.projections
        self._recorder = ProjectionRecorder(student, wanted) if wanted else None

    def ask(self, model: nn.Module, student: nn.Module, batch: Batch) -> tuple[Answer, Answer]:
        """What student and teacher say to a batch.

        Args:
            model: what is called: the student as it is wrapped.
            student: the student itself, which says what it takes.
            batch: the union of what both take.
        """
        ours = ask(model, unlabelled_inputs_of(student, batch), self._student_wants, self._recorder)
        return ours, (self._teacher.answer(batch, self._teacher_wants) if self._teacher else _NOTHING)

    def count(self, batches: Sequence[Batch]) -> dict[Count, Tensor]:
        """How many items of each kind some batches hold together."""
        each = [counts_of(self._head, batch) for batch in batches]
        return {name: torch.stack([counts[name] for counts in each]).sum() for name in each[0]}

    def parts(self, student: Answer, teacher: Answer, batch: Batch, counts: Counts | None) -> dict[Part, Tensor]:
        """What a batch contributes to each part: its sum over the count of the whole step.

        Args:
            student, teacher: what they said to the batch.
            batch: it.
            counts: of the whole step; None: the batch is the whole step.
        """
        known = counts or self.count([batch])
        # Transformers 4 computes losses under the autocast of the model on a CPU: too few digits for small differences.
        with torch.autocast(next(iter(known.values())).device.type, enabled=False):
            return {
                each.part: each(student, teacher, batch) / known[each.count].clamp(min=1) for each in self.objectives
            }

    def weighted(self, parts: Mapping[Part, Tensor], step: int, steps: int) -> Tensor:
        """The sum of weight x part when `step` of `steps` optimizer steps are done."""
        starts, schedules = self._config.weights(), self._config.schedules
        weighed = [weight_at(starts[part], schedules.get(part), step, steps) * value for part, value in parts.items()]
        return torch.stack(weighed).sum()

    @property
    def part_names(self) -> tuple[Part, ...]:
        """The parts that are computed."""
        return tuple(each.part for each in self.objectives)

    @property
    def looks_inside(self) -> bool:
        """Whether a part needs more than outputs."""
        return self._student_wants != Wants()

    def probe(self, student: PreTrainedModel, batch: Batch, seed: int) -> nn.ModuleDict | None:
        """Let the parts see the answers to one batch; gives the projections that they want trained.

        Raises:
            InputError: the layers of student and teacher cannot be compared.
        """
        training = student.training
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of the projections
            answers = self.ask(student.eval(), student, batch)
            for objective in self.objectives:
                objective.probe(*answers)
        student.train(training)
        made: dict[str, Any] = {each.part: each.projections for each in self.objectives if each.projections}
        return nn.ModuleDict(made) if made else None


def objectives_for(
    config: DistillationObjectives,
    head: Head,
    student: PreTrainedModel,
    teacher: PreTrainedModel | None,
    smoothing: float = 0.0,
) -> list[Objective]:
    """The parts that are computed.

    Args:
        config: which parts, and how.
        head: the student's.
        student: the model that is trained.
        teacher: the model whose layers are looked at; None for one that gives outputs alone (several, or a cache).
        smoothing: of labels.

    Raises:
        InputError: a part does not suit the models.
    """
    made: list[Objective] = []
    for part in config.parts():
        match part:
            case "label" if head.has_labels:
                made.append(LabelLoss(head, smoothing))
            case "kl":
                made.append(SoftTargets(head, config))
            case "hidden" if config.hidden:
                made.append(HiddenStates(config.hidden))
            case "relations" if config.relations:
                made.append(Relations(config.relations, student, _opened(teacher, part)))
            case "attention" if config.attention:
                made.append(AttentionMaps(config.attention, student, _opened(teacher, part)))
    if not made:
        raise InputError(f"there is nothing for {head} to learn: give it a teacher and a kl_weight above 0")
    return made


def _opened(teacher: PreTrainedModel | None, part: Part) -> PreTrainedModel:
    if teacher is None:
        raise InputError(f"`{part}` looks into the teacher's layers, so it needs one teacher and no cache of it")
    return teacher


def _all(wants: Sequence[Wants]) -> Wants:
    together = Wants()
    for each in wants:
        together = together | each
    return together
