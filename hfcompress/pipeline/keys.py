"""Stage keys: equal key, equal artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any

from pydantic.main import IncEx

from hfcompress.artifact import sha256_of
from hfcompress.distributed.world import world_size
from hfcompress.host import describe_host
from hfcompress.pipeline.dispatch import code_of
from hfcompress.recipe.data import Split
from hfcompress.recipe.quantization import Target
from hfcompress.recipe.stages import EngineConfig, ExportConfig, QuantizeConfig, StageConfig
from hfcompress.recipe.training_stages import QatConfig, TaughtConfig
from hfcompress.tasks.data import Data
from hfcompress.training.precision import training_dtype

#: What the key leaves out of a config: the names of its inputs, whose digests count, and what does not change the
#: artifact.
_LEFT_OUT: dict[str, IncEx | bool] = {"teacher": True, "student": {"model": True}, "allow_slower": True}


def stage_key(config: StageConfig, data: Data, seed: int, inputs: Mapping[str, str]) -> str:
    """sha256 over everything that decides what a stage makes.

    Args:
        config: the stage's config.
        data: the run's rows; only the digests of the splits that the stage reads take part.
        seed: the recipe's seed.
        inputs: role of each input (`source`, `teacher 0`, `student`) -> its digest, which counts in place of its name.
    """
    code = code_of(config)
    return sha256_of(
        {
            "config": config.model_dump(mode="json", exclude=_LEFT_OUT),
            "verb": type(config).__name__,
            "task": data.task.name,
            "seed": seed,
            "data": _data_read(config, data),
            "inputs": dict(inputs),
            "stage_version": code.version,
            "libraries": {name: _minor(library_version(name)) for name in code.libraries},
            "machine": _machine(config),
        }
    )


def library_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _minor(version: str | None) -> str | None:
    return None if version is None else ".".join(version.split(".")[:2])


def _data_read(config: StageConfig, data: Data) -> dict[str, Any]:
    if isinstance(config, QuantizeConfig):
        calibrates: tuple[Split, ...] = () if config.calibration is None else ("train",)
        searches: tuple[Split, ...] = () if config.fallback is None else ("validation",)
        return data.identity(*calibrates, *searches) if calibrates or searches else {}
    if isinstance(config, EngineConfig):  # profiles cover the lengths of all rows
        return data.identity(*data.rows.splits)
    splits: tuple[Split, ...] = ("validation",) if isinstance(config, ExportConfig) else ("train",)
    if _evaluates(config):
        splits = ("train", "validation")
    unlabeled = ("unlabeled",) if isinstance(config, TaughtConfig) else ()
    return data.identity(*splits, *unlabeled)


def _evaluates(config: StageConfig) -> bool:
    training: dict[str, Any] = getattr(config, "training", {})
    return bool(training.get("eval_strategy", "no") != "no")


def _machine(config: StageConfig) -> dict[str, Any]:
    """What of this machine decides the result: world size, effective batch and dtype of training, the CPU of INT8,
    the GPU of an engine."""
    if isinstance(config, ExportConfig):
        return {}
    if isinstance(config, QuantizeConfig):
        return _served_by(config.target)
    if isinstance(config, EngineConfig):
        from hfcompress.runtimes.tensorrt import this_machine

        return asdict(this_machine())
    training = config.training
    world = world_size()
    rows = training.get("per_device_train_batch_size", 8) * training.get("gradient_accumulation_steps", 1)
    trained_on = {"world_size": world, "effective_batch": rows * world, "dtype": training_dtype(training)}
    return {**trained_on, **(_served_by(config.target) if isinstance(config, QatConfig) else {})}


def _served_by(target: Target) -> dict[str, Any]:
    from hfcompress.quantize.targets import scheme_for

    return {"target": scheme_for(target, describe_host().flags).target}
