"""The stages of a recipe: one config a verb, and the entry that holds exactly one of them.

A new verb is a config here, an arm in `pipeline/dispatch.py`, and a folder on floor 5.
"""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveFloat, model_validator

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


class DistillConfig(VerbConfig):
    """Train a student towards a teacher's logits and the labels.

    The loss is `kl_weight` x T^2 x KL(teacher || student) + `label_weight` x cross-entropy (Hinton et al. 2015).

    Attributes:
        teacher: a stage, a local folder or a Hub id; default: `from`.
        student: what the student starts from.
        temperature: T of the soft targets.
        kl_weight: weight of the first term; 0 leaves it out.
        label_weight: weight of the second term; 0 leaves it out.
        training: arguments of `transformers.TrainingArguments`.
    """

    consumes: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "torch"
    trains: ClassVar[bool] = True
    learns_from_source: ClassVar[bool] = True

    teacher: Annotated[
        tuple[ModelSource, ...],
        Field(max_length=1),
        BeforeValidator(
            _tuple_from_one, json_schema_input_type=ModelSource | Annotated[list[ModelSource], Field(max_length=1)]
        ),
    ] = ()
    student: StudentConfig = StudentConfig()
    temperature: PositiveFloat = 2.0
    kl_weight: NonNegativeFloat = 0.9
    label_weight: NonNegativeFloat = 0.1
    training: Training = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_an_objective(self) -> DistillConfig:
        if self.kl_weight == 0 and self.label_weight == 0:
            raise ValueError("kl_weight and label_weight are both 0: nothing would be learned; give one a weight")
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
