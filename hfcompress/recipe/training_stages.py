"""The configs of the stages that train."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from hfcompress.recipe.objectives import LOOK_INSIDE, DistillationObjectives
from hfcompress.recipe.quantization import Calibration, Smooth, Target
from hfcompress.recipe.schema import ModelSource
from hfcompress.recipe.student import StudentConfig
from hfcompress.recipe.training import Training
from hfcompress.recipe.verb import Format, VerbConfig


def _tuple_from_one(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


class FinetuneConfig(VerbConfig):
    """Fine-tune the source on the labels of the training split.

    Attributes:
        training: arguments of `transformers.TrainingArguments`.
    """

    consumes: ClassVar[frozenset[Format]] = frozenset({"torch"})
    trains: ClassVar[bool] = True

    training: Training = Field(default_factory=dict)


class TaughtConfig(VerbConfig, DistillationObjectives):
    """A stage that trains a model towards teachers and labels. For what it learns see `DistillationObjectives`.

    Attributes:
        teacher: stages, local folders or Hub ids; default: `from`.
        teacher_cache: `on` asks each teacher once about every row and keeps its outputs in the run folder; `off` asks
            it at each step; `auto` is `on` where that is cheaper: more than one epoch of rows that are the same in
            each, and no part of the loss that looks into the teacher.
        teacher_cache_top_k: keep the likeliest classes of each token and the mass of the others, in place of all.
        training: arguments of `transformers.TrainingArguments`.
    """

    consumes: ClassVar[frozenset[Format]] = frozenset({"torch"})
    trains: ClassVar[bool] = True
    learns_from_source: ClassVar[bool] = True

    teacher: Annotated[
        tuple[ModelSource, ...],
        BeforeValidator(_tuple_from_one, json_schema_input_type=ModelSource | list[ModelSource]),
    ] = ()
    teacher_cache: Literal["auto", "on", "off"] = "auto"
    teacher_cache_top_k: PositiveInt | None = None
    training: Training = Field(default_factory=dict)

    def trainer_fields(self) -> dict[str, Any]:
        """What the arguments of its trainer are given: the objectives, and what `training` says."""
        objectives = self.model_dump(include=set(DistillationObjectives.model_fields), exclude_none=True)
        return {**objectives, **self.training}

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if not self.parts():
            raise ValueError("all weights are 0: nothing would be learned; give kl_weight or label_weight a value")
        looks_inside = [part for part in self.parts() if part in LOOK_INSIDE]
        several = max(1, len(self.teacher))
        if self.teacher_weights is not None and len(self.teacher_weights) != several:
            raise ValueError(f"teacher_weights should hold {several}, one for each teacher, got {self.teacher_weights}")
        if looks_inside and several > 1:
            raise ValueError(
                f"{' and '.join(looks_inside)} look into the layers of one teacher, and {several} are named"
            )
        if self.teacher_choice == "best" and several == 1:
            raise ValueError("teacher_choice best chooses among several teachers, and one is named")
        if self.teacher_cache == "on" and self.parts() == ("label",):
            raise ValueError("teacher_cache is on, and nothing is learned from a teacher; give kl_weight a value")
        if looks_inside and self.teacher_cache == "on":
            raise ValueError(
                f"{' and '.join(looks_inside)} look into the teacher's layers, which teacher_cache does not keep; "
                "set it to off, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _top_k_fits(self) -> Self:
        if self.teacher_cache_top_k is None:
            return self
        if "kl" not in self.parts() or set(self.parts()) & set(LOOK_INSIDE):
            raise ValueError("teacher_cache_top_k needs kl_weight, and no part that looks into the teacher's layers")
        if self.teacher_cache == "off":
            raise ValueError("teacher_cache_top_k says what a cache keeps, and teacher_cache is off; leave one out")
        if self.soft_loss not in (None, "forward_kl"):
            raise ValueError(f"teacher_cache_top_k goes with soft_loss forward_kl alone, got {self.soft_loss}")
        if len(self.teacher) > 1:
            raise ValueError("teacher_cache_top_k goes with one teacher: the likeliest classes of several differ")
        return self


class DistillConfig(TaughtConfig):
    """Train a student towards one or several teachers and the labels.

    Attributes:
        student: what the student starts from.
    """

    student: StudentConfig = StudentConfig()


class QatConfig(TaughtConfig):
    """Train the source for INT8: weights and activations are rounded in its forward pass, and it learns to bear that.

    The artifact holds the fake-quantized model, and `export` writes it as Q/DQ: it needs no `quantize` stage.

    Attributes:
        target: what will serve; `auto` asks this host.
        per_channel: one scale for each output channel of a weight in place of one for the tensor.
        calibration: how the scales start.
        scales: `learned` (Esser et al. 2020, LSQ), or `moving_average` of the ranges that are seen.
        freeze_after: the share of all steps after which scales stay as they are.
        attention_products: also round the factors of the two products of activations in each attention.
        smooth: move outliers into weights first.
        skip: names of layers that stay in floating point, with `*` as in file names.
        allow_slower: do not fail when its export is slower on this host than the same model in floating point.
    """

    gives_int8: ClassVar[bool] = True

    target: Target = "auto"
    per_channel: bool = True
    calibration: Calibration = Calibration()
    scales: Literal["learned", "moving_average"] = "learned"
    freeze_after: Annotated[float, Field(ge=0, le=1)] = 0.8
    attention_products: bool = False
    smooth: Smooth | None = None
    skip: tuple[str, ...] = ()
    allow_slower: bool = False
