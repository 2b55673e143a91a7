"""Engines and precisions: what stages need to know of the rest of a recipe, and what does not fit."""

from __future__ import annotations

from hfcompress.errors import InputError
from hfcompress.pipeline.gates import int8_config
from hfcompress.recipe.recipe import Recipe
from hfcompress.recipe.stages import EngineConfig, StageConfig
from hfcompress.recipe.tasks import TASKS
from hfcompress.tasks.base import Task


def sized(recipe: Recipe, name: str, task: Task) -> StageConfig:
    """The config of a stage; of an `engine`, with the sizes that the run will ask it for."""
    config, benchmark = recipe.stages[name].config, recipe.benchmark
    if not isinstance(config, EngineConfig):
        return config
    batch = config.batch or (1, *benchmark.batch, benchmark.stream.batch, task.predict_rows)
    sequence = {*(config.sequence or ()), *benchmark.sequence} if TASKS[task.name].has_sequence else ()
    return config.model_copy(update={"batch": tuple(sorted(set(batch))), "sequence": tuple(sorted(sequence)) or None})


def check_engines(recipe: Recipe, task: Task) -> None:
    """Refuse engines that this machine cannot build, or whose graph and precision do not fit.

    Raises:
        InputError: a precision that does not fit, or batches that the run would not get through.
        ProviderError: no TensorRT, or no GPU.
    """
    engines = {name: stage.engine for name, stage in recipe.stages.items() if stage.engine is not None}
    for name, config in engines.items():
        _check_precision(recipe, name, config)
        _check_batches(recipe, name, config, task)
    if engines:
        from hfcompress.runtimes.tensorrt import check_tensorrt

        check_tensorrt()


def check_half(recipe: Recipe) -> None:
    """Refuse INT8 of a graph in float16: it is made of fp32.

    Raises:
        InputError: names the stage.
    """
    exports = {name: stage.export for name, stage in recipe.stages.items() if stage.export is not None}
    halves = {name for name, config in exports.items() if config.dtype == "fp16"}
    for name, stage in recipe.stages.items():
        source = recipe.source_of(name)
        if stage.quantize is not None and source in halves:
            raise InputError(f"stages.{name} takes an export in fp32, but `{source}` is one in fp16; name another")
        if name in halves and source in recipe.stages and recipe.stages[source].qat is not None:
            raise InputError(f"stages.{name}: `{source}` is trained for INT8; export it without `dtype: fp16`")


def _check_precision(recipe: Recipe, name: str, config: EngineConfig) -> None:
    source = recipe.source_of(name)
    if source in recipe.stages and recipe.stages[source].engine is not None:
        raise InputError(f"stages.{name}: `{source}` is an engine already; let `from` name its graph")
    int8 = int8_config(recipe, source) if source in recipe.stages else None
    if int8 is not None and int8.target != "tensorrt":
        raise InputError(
            f"stages.{name}: `{source}` is INT8 for `target: {int8.target}`, which TensorRT does not read; let `from` "
            "name a stage with `target: tensorrt`"
        )
    quantized = int8 is not None
    if quantized and config.precision != "int8":
        raise InputError(
            f"stages.{name}: `{source}` is INT8, and its engine needs `precision: int8`, got {config.precision}"
        )
    if not quantized and config.precision == "int8":
        raise InputError(
            f"stages.{name}: precision int8 is for a graph with Q/DQ, and `{source}` has none; let `from` name a "
            "`quantize` stage with `target: tensorrt`, or choose fp16"
        )


def _check_batches(recipe: Recipe, name: str, config: EngineConfig, task: Task) -> None:
    benchmark = recipe.benchmark
    needed = max(*benchmark.batch, benchmark.stream.batch, task.predict_rows)
    if config.batch is not None and max(config.batch) < needed:
        raise InputError(
            f"stages.{name}: the largest `batch` is {max(config.batch)}, and this recipe measures with up to {needed} "
            "rows (`benchmark`, and evaluation); add it, or leave `batch` out"
        )
