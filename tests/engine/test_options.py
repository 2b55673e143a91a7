"""The provider's options as data: by precision, with names that ONNX Runtime knows and Optimum hands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfcompress.engine.options import engine_options
from hfcompress.onnx_graph.profiles import parse_profiles
from hfcompress.recipe.stages import EngineConfig
from hfcompress.runtimes.tensorrt import with_paths

PROFILES = parse_profiles(["input_ids=1x5:32x27:32x128", "attention_mask=1x5:32x27:32x128"])
#: The names in libonnxruntime_providers_tensorrt.so of onnxruntime-gpu 1.31.1, but for debugging and encryption.
KNOWN = """
    device_id trt_auxiliary_streams trt_bf16_enable trt_builder_optimization_level trt_context_memory_sharing_enable
    trt_cuda_graph_enable trt_detailed_build_log trt_dla_core trt_dla_enable trt_engine_cache_enable
    trt_engine_cache_path trt_engine_cache_prefix trt_engine_hw_compatible trt_force_sequential_engine_build
    trt_force_timing_cache trt_fp16_enable trt_int8_calibration_table_name trt_int8_enable
    trt_int8_use_native_calibration_table trt_layer_norm_fp32_fallback trt_max_partition_iterations
    trt_max_workspace_size trt_min_subgraph_size trt_op_types_to_exclude trt_profile_max_shapes trt_profile_min_shapes
    trt_profile_opt_shapes trt_sparsity_enable trt_tactic_sources trt_timing_cache_enable trt_timing_cache_path
    trt_weight_stripped_engine_enable
"""


@pytest.mark.parametrize(
    "precision, enabled", [("fp32", set()), ("fp16", {"fp16"}), ("bf16", {"bf16"}), ("int8", {"int8", "fp16"})]
)
def test_a_precision_enables_its_own_kernels(precision: str, enabled: set[str]) -> None:
    options = engine_options(EngineConfig.model_validate({"precision": precision}), PROFILES)
    for kind in ("fp16", "bf16", "int8"):
        assert options[f"trt_{kind}_enable"] == ("1" if kind in enabled else "0")


def test_every_choice_of_a_recipe_reaches_the_provider(tmp_path: Path) -> None:
    config = EngineConfig(workspace_mb=512, optimization_level=5, timing_cache=False)
    assert with_paths(engine_options(config, PROFILES), tmp_path) == {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(tmp_path),
        "trt_timing_cache_enable": "0",
        "trt_fp16_enable": "1",
        "trt_bf16_enable": "0",
        "trt_int8_enable": "0",
        "trt_builder_optimization_level": "5",
        "trt_max_workspace_size": str(512 * 2**20),
        "trt_profile_min_shapes": "input_ids:1x5,attention_mask:1x5",
        "trt_profile_opt_shapes": "input_ids:32x27,attention_mask:32x27",
        "trt_profile_max_shapes": "input_ids:32x128,attention_mask:32x128",
    }


def test_the_names_are_those_of_onnx_runtime(tmp_path: Path) -> None:
    options = with_paths(engine_options(EngineConfig(workspace_mb=1), PROFILES), tmp_path)
    assert set(options) <= set(KNOWN.split())
    assert options["trt_timing_cache_path"] == options["trt_engine_cache_path"] == str(tmp_path)
    assert all(isinstance(value, str) for value in options.values())
