"""What a student may be pulled towards beside the labels: the words of a recipe, of `DistillationArguments`, and of
`--config` files alike.

A new objective is a config and a field of `DistillationObjectives` here, a field of `DistillationArguments`, and a
class in `training/layer_objectives.py` or beside it, with its arm in `training/distillation_loss.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from hfcompress.recipe.schema import Schema

#: What compares the student's outputs with the teacher's; see `training/losses.py` for the equations.
SoftLoss = Literal["forward_kl", "reverse_kl", "jsd", "mse", "cosine"]
#: How several teachers become one.
TeacherChoice = Literal["average", "best"]
#: The parts of the loss, which are also the keys of `schedules` and, with `loss_` in front, of the logs.
Part = Literal["kl", "label", "hidden", "relations", "attention"]

#: The parts that compare layers.
LOOK_INSIDE: tuple[Part, ...] = ("hidden", "relations", "attention")


def _layer_map(value: Any) -> Any:
    """One message in place of one for each member of the union."""
    if value in ("uniform", "last"):
        return value
    if isinstance(value, dict) and value and all(_is_layer(part) for pair in value.items() for part in pair):
        return {int(ours): int(theirs) for ours, theirs in value.items()}
    raise ValueError(f'should be uniform, last, or student\'s layers to teacher\'s ({{"0": 1, "1": 3}}), got {value!r}')


def _is_layer(value: Any) -> bool:
    # Keys of JSON are strings.
    return not isinstance(value, bool) and str(value).isdecimal()


#: Student's layer -> teacher's layer, both from 0; or `uniform` (spread evenly, the last to the last), or `last`.
LayerMap = Annotated[Literal["uniform", "last"] | dict[NonNegativeInt, NonNegativeInt], BeforeValidator(_layer_map)]


class HiddenConfig(Schema):
    """Pull hidden states towards the teacher's (Romero et al. 2015, FitNets; Sanh et al. 2019, the cosine form).

    Convolutional nets have feature maps: there a layer is a stage.

    Attributes:
        weight: of this part.
        loss: `mse`, or `cosine` as DistilBERT has it. Where widths differ the student's states go through a learned
            projection (linear, or a 1x1 convolution) that is trained with it and left out of the artifact.
        layers: which layer learns from which.
    """

    weight: NonNegativeFloat = 1.0
    loss: Literal["mse", "cosine"] = "mse"
    layers: LayerMap = "uniform"


class RelationsConfig(Schema):
    """Pull query-query, key-key and value-value relations towards the teacher's (Wang et al. 2021, MiniLMv2).

    Neither widths nor numbers of attention heads need be equal.

    Attributes:
        weight: of this part.
        student_layer: from 0; default: the last.
        teacher_layer: from 0; default: the last. The paper takes an upper middle layer for large teachers.
        heads: relation heads, a divisor of both widths; default: the student's attention heads.
        student_projections, teacher_projections: in place of a layer, for a family that hfcompress does not know: the
            dotted paths of the modules that give its queries, keys and values.
    """

    weight: NonNegativeFloat = 1.0
    student_layer: NonNegativeInt | None = None
    teacher_layer: NonNegativeInt | None = None
    heads: PositiveInt | None = None
    student_projections: tuple[str, str, str] | None = None
    teacher_projections: tuple[str, str, str] | None = None

    @model_validator(mode="after")
    def _named_or_counted(self) -> RelationsConfig:
        for whose in ("student", "teacher"):
            layer, named = getattr(self, f"{whose}_layer"), getattr(self, f"{whose}_projections")
            if layer is not None and named is not None:
                raise ValueError(f"{whose}_layer and {whose}_projections both say where to look; leave one out")
        return self


class AttentionConfig(Schema):
    """Pull attention scores before the softmax towards the teacher's (Jiao et al. 2020, TinyBERT, equation 7).

    The numbers of attention heads must be equal; `relations` have no such need.

    Attributes:
        weight: of this part.
        layers: which layer learns from which.
    """

    weight: NonNegativeFloat = 1.0
    layers: LayerMap = "uniform"


class Schedule(Schema):
    """A weight that moves over training, from what the part's own field says to `end`.

    Attributes:
        end: the weight at the last step.
        shape: `linear`, or `cosine` (half a period: slow, fast, slow).
    """

    end: NonNegativeFloat
    shape: Literal["linear", "cosine"] = "linear"


class DistillationObjectives(Schema):
    """Everything that a student learns from.

    The loss is the sum over its parts of weight x part; a part of weight 0 that no schedule raises is not computed.

    Attributes:
        soft_loss: what compares outputs with the teacher's: `forward_kl` (Hinton et al. 2015), `reverse_kl`, `jsd`
            (generalized Jensen-Shannon divergence; Agarwal et al. 2024), `mse` of logits, `cosine` of embeddings.
            Default: `forward_kl` for classes, `mse` for regression, `cosine` for embeddings.
        temperature: T of the soft targets; the loss is multiplied by T^2. Not used by `mse` and `cosine`.
        beta: of `jsd`: 0 is the forward KL, 1 the reverse KL.
        kl_weight: weight of the part that compares outputs, whatever its `soft_loss`.
        label_weight: weight of the task's own loss. Embeddings have none, and do not use it.
        hidden, relations, attention: further parts; absent: not computed.
        schedules: part -> how its weight moves over training; absent: constant.
        teacher_weights: one weight for each teacher, in their order; default: equal ones.
        teacher_choice: `average` of the teachers' logits, or for each row the one that is `best` by its label's loss.
    """

    soft_loss: SoftLoss | None = None
    temperature: PositiveFloat = 2.0
    beta: Annotated[float, Field(ge=0, le=1)] = 0.5
    kl_weight: NonNegativeFloat = 0.9
    label_weight: NonNegativeFloat = 0.1
    hidden: HiddenConfig | None = None
    relations: RelationsConfig | None = None
    attention: AttentionConfig | None = None
    schedules: dict[Part, Schedule] = Field(default_factory=dict)
    teacher_weights: tuple[PositiveFloat, ...] | None = None
    teacher_choice: TeacherChoice = "average"

    @field_validator("teacher_weights")
    @classmethod
    def _named(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and not weights:
            raise ValueError("teacher_weights should hold one weight for each teacher, got none; leave it out")
        return weights

    @model_validator(mode="after")
    def _schedules_move_something(self) -> DistillationObjectives:
        absent = sorted(set(self.schedules) - set(self.weights()))
        if absent:
            raise ValueError(
                f"schedules names {', '.join(absent)}, which is no part of this loss; add `{absent[0]}: {{}}`"
            )
        return self

    def weights(self) -> dict[Part, float]:
        """The weight of each part at the first step; parts that are absent are left out."""
        found: dict[Part, float] = {"kl": self.kl_weight, "label": self.label_weight}
        for name, config in (("hidden", self.hidden), ("relations", self.relations), ("attention", self.attention)):
            if config is not None:
                found[name] = config.weight  # type: ignore[index]  # a Part, which mypy does not see through the tuple
        return found

    def parts(self) -> tuple[Part, ...]:
        """The parts that are computed: those whose weight is above 0 at some step."""
        ends = {name: schedule.end for name, schedule in self.schedules.items()}
        return tuple(name for name, weight in self.weights().items() if weight > 0 or ends.get(name, 0) > 0)
