"""The stages of a recipe: one config a verb, and the entry that holds exactly one of them.

A new verb is a config here (or in `training_stages.py`), an arm in `pipeline/dispatch.py`, and a folder on floor 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from hfcompress.recipe.quantization import Calibration, Fallback, Smooth, Target
from hfcompress.recipe.schema import Schema
from hfcompress.recipe.training_stages import DistillConfig, FinetuneConfig, QatConfig
from hfcompress.recipe.verb import Format, VerbConfig

ExportFormat = Literal["onnx", "openvino"]


class ExportConfig(VerbConfig):
    """Export to ONNX through Optimum, or on to OpenVINO, and compare the logits on validation rows.

    Attributes:
        format: `onnx`, or `openvino`: its own format, with weights in fp32.
        opset: ONNX operator set; default: what Optimum takes for the model.
        tolerance: largest accepted |exported - PyTorch| of any logit; default: 0.001, and for what `qat` trained
            the bounds that rounding leaves (see `export/agreement.py`).
        first_token_only: compute the last layer for the first token alone where the head reads no other. Exact, and
            checked like the export itself; a model that it does not fit is left as it is.
        dtype: what weights are stored and products computed in; `fp16` is for GPUs.
    """

    consumes: ClassVar[frozenset[Format]] = frozenset({"torch"})
    takes_int8: ClassVar[bool] = True

    format: ExportFormat = "onnx"
    opset: Annotated[int, Field(ge=13)] | None = None
    tolerance: PositiveFloat | None = None
    first_token_only: bool = True
    dtype: Literal["fp32", "fp16"] = "fp32"

    @classmethod
    def produces(cls, said: Mapping[str, Any], source: Format | None) -> Format | None:
        """What `format` says."""
        named = said.get("format", "onnx")
        return next((known for known in get_args(ExportFormat) if known == named), None)

    @model_validator(mode="after")
    def _half_is_onnx(self) -> Self:
        if self.dtype == "fp16" and self.format != "onnx":
            raise ValueError(f"dtype fp16 is for the format onnx, got format {self.format}; leave one of them out")
        return self


class QuantizeConfig(VerbConfig):
    """INT8 of an fp32 export: static when `calibration` is given, dynamic (activations at run time) when it is not.

    An export in OpenVINO's format is quantized by NNCF, statically; what it cannot do is in `recipe/nncf.py`.

    Attributes:
        target: what will serve; `auto` asks this host.
        per_channel: one scale for each output channel of a weight in place of one for the tensor.
        calibration: how ranges of activations are found.
        smooth: move outliers of activations into weights first; for static INT8.
        skip: names of layers that stay in floating point, with `*` as in file names.
        fallback: return the costliest layers to floating point until the metrics hold.
        allow_slower: do not fail when the artifact is slower than its source on this host.
    """

    consumes: ClassVar[frozenset[Format]] = frozenset({"onnx", "openvino"})
    gives_int8: ClassVar[bool] = True

    target: Target = "auto"
    per_channel: bool = True
    calibration: Calibration | None = None
    smooth: Smooth | None = None
    skip: tuple[str, ...] = ()
    fallback: Fallback | None = None
    allow_slower: bool = False

    @classmethod
    def produces(cls, said: Mapping[str, Any], source: Format | None) -> Format | None:
        """The format of what is quantized."""
        return source if source in cls.consumes else None

    @model_validator(mode="after")
    def _smooth_is_static(self) -> Self:
        if self.smooth is not None and self.calibration is None:
            raise ValueError(
                "smooth needs ranges of activations, which dynamic INT8 does not have; add `calibration: {}`"
            )
        return self


class EngineConfig(VerbConfig):
    """TensorRT engines of a graph, built on the GPU that will serve, through ONNX Runtime's execution provider.

    Attributes:
        precision: what layers may be computed in; `int8` is for a graph with Q/DQ, whose other layers get fp16.
        batch: rows of the batches that will come; default: those of `benchmark`, and of evaluation.
        sequence: tokens beside the lengths of the data and those of `benchmark`. Not used for images.
        workspace_mb: memory that a layer may use while it runs, in MiB; default: as TensorRT would have it.
        optimization_level: how long TensorRT searches for kernels: 0 to 5; 3 is its own default.
        timing_cache: keep what kernels were measured to take, for the next build.
        tolerance: largest accepted difference of an output, in standard deviations of it; default: by the precision.
    """

    consumes: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    takes_int8: ClassVar[bool] = True

    precision: Literal["fp32", "fp16", "bf16", "int8"] = "fp16"
    batch: tuple[PositiveInt, ...] | None = Field(default=None, min_length=1)
    sequence: tuple[PositiveInt, ...] | None = Field(default=None, min_length=1)
    workspace_mb: PositiveInt | None = None
    optimization_level: Annotated[int, Field(ge=0, le=5)] = 3
    timing_cache: bool = True
    tolerance: PositiveFloat | None = None

    @classmethod
    def produces(cls, said: Mapping[str, Any], source: Format | None) -> Format | None:
        """ONNX, with engines beside it."""
        return "onnx"


StageConfig = FinetuneConfig | DistillConfig | QatConfig | ExportConfig | QuantizeConfig | EngineConfig


class Stage(Schema):
    """One verb on one artifact. `from` names what it transforms; default: the stage before it, or `source`."""

    from_: str | None = Field(default=None, alias="from")
    finetune: FinetuneConfig | None = None
    distill: DistillConfig | None = None
    qat: QatConfig | None = None
    export: ExportConfig | None = None
    quantize: QuantizeConfig | None = None
    engine: EngineConfig | None = None

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
