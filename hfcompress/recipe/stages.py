"""The stages of a recipe: one config a verb, and the entry that holds exactly one of them.

A new verb is a config here, an arm in `pipeline/dispatch.py`, and a folder on floor 5.
"""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from hfcompress.recipe.objectives import LOOK_INSIDE, DistillationObjectives
from hfcompress.recipe.schema import ModelRef, ModelSource, Schema
from hfcompress.recipe.student import StudentConfig
from hfcompress.recipe.training import Training

Format = Literal["torch", "onnx"]
Target = Literal["auto", "avx2", "avx512", "avx512_vnni", "arm64"]


def _tuple_from_one(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


class VerbConfig(Schema):
    """What every stage config says about itself.

    A verb that learns from teachers has a field `teacher`: a tuple of models, each of which may be a stage; one that
    makes a student has a field `student`, whose `model` may be a stage too.

    Attributes:
        consumes: formats of the artifact that it transforms, and of its teachers.
        produces: format of the artifact that it makes.
        trains: whether it reads the training split.
        learns_from_source: whether its source is its teacher when no teacher is named.
    """

    consumes: ClassVar[frozenset[Format]]
    produces: ClassVar[Format]
    trains: ClassVar[bool] = False
    learns_from_source: ClassVar[bool] = False

    @property
    def teachers(self) -> tuple[ModelRef, ...]:
        """The teachers that it names; none for a verb without any."""
        return getattr(self, "teacher", ())

    @property
    def student_model(self) -> ModelRef | None:
        """The checkpoint that its student starts from, where it names one."""
        return getattr(getattr(self, "student", None), "model", None)


class FinetuneConfig(VerbConfig):
    """Fine-tune the source on the labels of the training split.

    Attributes:
        training: arguments of `transformers.TrainingArguments`.
    """

    consumes: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "torch"
    trains: ClassVar[bool] = True

    training: Training = Field(default_factory=dict)


class DistillConfig(VerbConfig, DistillationObjectives):
    """Train a student towards one or several teachers and the labels. For what it learns see `DistillationObjectives`.

    Attributes:
        teacher: stages, local folders or Hub ids; default: `from`.
        student: what the student starts from.
        teacher_cache: `on` asks each teacher once about every row and keeps its outputs in the run folder; `off` asks
            it at each step; `auto` is `on` where that is cheaper: more than one epoch of rows that are the same in
            each, and no part of the loss that looks into the teacher.
        teacher_cache_top_k: keep the likeliest classes of each token and the mass of the others, in place of all.
        training: arguments of `transformers.TrainingArguments`.
    """

    consumes: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "torch"
    trains: ClassVar[bool] = True
    learns_from_source: ClassVar[bool] = True

    teacher: Annotated[
        tuple[ModelSource, ...],
        BeforeValidator(_tuple_from_one, json_schema_input_type=ModelSource | list[ModelSource]),
    ] = ()
    student: StudentConfig = StudentConfig()
    teacher_cache: Literal["auto", "on", "off"] = "auto"
    teacher_cache_top_k: PositiveInt | None = None
    training: Training = Field(default_factory=dict)

    @model_validator(mode="after")
    def _parts_fit(self) -> DistillConfig:
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
    def _top_k_fits(self) -> DistillConfig:
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


class ExportConfig(VerbConfig):
    """Export to ONNX through Optimum, and compare the logits on validation rows.

    Attributes:
        opset: ONNX operator set; default: what Optimum takes for the model.
        tolerance: largest accepted |ONNX Runtime - PyTorch| of any logit.
        first_token_only: compute the last layer for the first token alone where the head reads no other. Exact, and
            checked like the export itself; a model that it does not fit is left as it is.
    """

    consumes: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "onnx"

    opset: Annotated[int, Field(ge=13)] | None = None
    tolerance: PositiveFloat = 1e-3
    first_token_only: bool = True


class QuantizeConfig(VerbConfig):
    """Dynamic INT8 for ONNX Runtime: weights now, activations at run time.

    Attributes:
        target: the CPU that will serve; `auto` asks this host.
        per_channel: one scale for each output channel of a weight in place of one for the tensor.
        allow_slower: do not fail when the artifact is slower than its source on this host.
    """

    consumes: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"

    target: Target = "auto"
    per_channel: bool = True
    allow_slower: bool = False


StageConfig = FinetuneConfig | DistillConfig | ExportConfig | QuantizeConfig


class Stage(Schema):
    """One verb on one artifact. `from` names what it transforms; default: the stage before it, or `source`."""

    from_: str | None = Field(default=None, alias="from")
    finetune: FinetuneConfig | None = None
    distill: DistillConfig | None = None
    export: ExportConfig | None = None
    quantize: QuantizeConfig | None = None

    @model_validator(mode="after")
    def _holds_one_verb(self) -> Stage:
        held = [verb for verb in VERBS if getattr(self, verb) is not None]
        if len(held) != 1:
            # `export:` with nothing after it reads as null.
            empty = "".join(f"; write `{verb}: {{}}`" for verb in VERBS if not held and verb in self.model_fields_set)
            got = " and ".join(held) or "none"
            raise ValueError(f"a stage holds exactly one of {', '.join(VERBS)}, got {got}{empty}")
        return self

    @property
    def verb(self) -> str:
        """Its verb's name."""
        return next(verb for verb in VERBS if getattr(self, verb) is not None)

    @property
    def config(self) -> StageConfig:
        """The config of its verb."""
        config: StageConfig = getattr(self, self.verb)
        return config


#: Verb -> its config class, in the order of `Stage`.
VERB_CONFIGS: dict[str, type[VerbConfig]] = {
    name: next(kind for kind in get_args(field.annotation) if kind is not NoneType)
    for name, field in Stage.model_fields.items()
    if name != "from_"
}
VERBS: tuple[str, ...] = tuple(VERB_CONFIGS)
