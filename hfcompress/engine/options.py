"""The options of ONNX Runtime's TensorRT provider for one engine, as data.

Names and meaning: https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html; checked against the
names that the library of onnxruntime-gpu 1.31.1 holds.
"""

from __future__ import annotations

from hfcompress.onnx_graph.profiles import Profiles, shapes_text
from hfcompress.recipe.stages import EngineConfig


def engine_options(config: EngineConfig, profiles: Profiles) -> dict[str, str]:
    """Everything but the paths of the caches, which are those of the machine that loads the artifact.

    Args:
        config: of the stage.
        profiles: sizes of every input with a dynamic axis; all of them or none, as the provider wants it.
    """
    options = {
        "trt_engine_cache_enable": "1",
        "trt_timing_cache_enable": _flag(config.timing_cache),
        "trt_fp16_enable": _flag(config.precision in ("fp16", "int8")),
        "trt_bf16_enable": _flag(config.precision == "bf16"),
        # Also for explicit Q/DQ: without it the builder of TensorRT 10, whose networks are weakly typed, takes no INT8
        # kernel. There is no calibration table: the scales are in the graph.
        "trt_int8_enable": _flag(config.precision == "int8"),
        "trt_builder_optimization_level": str(config.optimization_level),
        "trt_profile_min_shapes": shapes_text(profiles, "minimum"),
        "trt_profile_opt_shapes": shapes_text(profiles, "optimum"),
        "trt_profile_max_shapes": shapes_text(profiles, "maximum"),
    }
    if config.workspace_mb is not None:
        options["trt_max_workspace_size"] = str(config.workspace_mb * 2**20)
    return options


def _flag(on: bool) -> str:
    return "1" if on else "0"
