"""The only dispatch: from a stage's config to its code, and to what its key has to know of that code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from hfcompress.artifact import Artifact
from hfcompress.recipe.stages import EngineConfig, ExportConfig, QuantizeConfig, StageConfig
from hfcompress.recipe.training_stages import DistillConfig, FinetuneConfig, QatConfig
from hfcompress.stage import Inputs, Run


def run_stage(config: StageConfig, inputs: Inputs, run: Run) -> Artifact:
    """Run one stage into `run.out`."""
    # Imports sit inside the arms so that a recipe pulls in only the backends it uses.
    match config:
        case FinetuneConfig():
            from hfcompress.distill.stage import finetune

            return finetune(config, inputs, run)
        case DistillConfig():
            from hfcompress.distill.stage import distill

            return distill(config, inputs, run)
        case QatConfig():
            from hfcompress.quantize.qat import qat

            return qat(config, inputs, run)
        case ExportConfig():
            from hfcompress.export.stage import export

            return export(config, inputs, run)
        case QuantizeConfig():
            from hfcompress.quantize.stage import quantize

            return quantize(config, inputs, run)
        case EngineConfig():
            from hfcompress.engine.stage import engine

            return engine(config, inputs, run)
        case _:
            assert_never(config)  # mypy fails here when a stage has no arm


@dataclass(frozen=True)
class Code:
    """What a stage key has to know of a stage's code.

    Attributes:
        version: the `STAGE_VERSION` of its package.
        libraries: distributions whose major.minor may change the result.
        extra: the optional dependency that it needs.
    """

    version: int
    libraries: tuple[str, ...]
    extra: str | None = None


def code_of(config: StageConfig) -> Code:
    """The code behind a config, without importing any of its backends."""
    match config:
        case QatConfig():
            from hfcompress.quantize import QAT_VERSION

            return Code(QAT_VERSION, ("torch", "transformers", "tokenizers", "accelerate"))
        case FinetuneConfig() | DistillConfig():
            from hfcompress.distill import STAGE_VERSION

            return Code(STAGE_VERSION, ("torch", "transformers", "tokenizers", "accelerate"))
        case ExportConfig():
            from hfcompress.export import STAGE_VERSION

            return Code(STAGE_VERSION, ("torch", "transformers", "optimum-onnx", "onnx"), extra="onnxruntime")
        case QuantizeConfig():
            from hfcompress.quantize import STAGE_VERSION

            return Code(STAGE_VERSION, ("optimum-onnx", "onnxruntime", "onnx"), extra="onnxruntime")
        case EngineConfig():
            from hfcompress.engine import STAGE_VERSION

            return Code(STAGE_VERSION, ("onnxruntime-gpu", "tensorrt", "onnx"), extra="onnxruntime")
        case _:
            assert_never(config)
