"""Compress Hugging Face models: distil, export, quantize, measure at every step.

Importing this package imports nothing heavy: each public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hfcompress._version import __version__

if TYPE_CHECKING:
    from hfcompress.bundle.config import BundleConfig
    from hfcompress.errors import HfcompressError
    from hfcompress.export.api import export_onnx
    from hfcompress.onnx_graph.lint.files import lint_onnx
    from hfcompress.pipeline.build import Options
    from hfcompress.pipeline.bundle import write_bundle
    from hfcompress.pipeline.measure import measure
    from hfcompress.pipeline.run import run_recipe
    from hfcompress.pipeline.simulate import simulate
    from hfcompress.pipeline.tune import tune_artifact
    from hfcompress.profiling.api import explain
    from hfcompress.quantize.api import quantize_onnx
    from hfcompress.quantize.simulation import Simulation
    from hfcompress.recipe.loader import load_recipe
    from hfcompress.recipe.recipe import Recipe
    from hfcompress.results import Results, read_results
    from hfcompress.runtimes.batching import Batching
    from hfcompress.runtimes.load import LoadedModel, load
    from hfcompress.runtimes.pipeline import load_pipeline
    from hfcompress.runtimes.settings import Settings
    from hfcompress.runtimes.tensorrt import provider_options
    from hfcompress.training.arguments import DistillationArguments
    from hfcompress.training.qat_trainer import QATArguments, QATTrainer
    from hfcompress.training.trainer import DistillationTrainer

_PLACES = {
    "Batching": "hfcompress.runtimes.batching",
    "BundleConfig": "hfcompress.bundle.config",
    "DistillationArguments": "hfcompress.training.arguments",
    "DistillationTrainer": "hfcompress.training.trainer",
    "HfcompressError": "hfcompress.errors",
    "LoadedModel": "hfcompress.runtimes.load",
    "Options": "hfcompress.pipeline.build",
    "QATArguments": "hfcompress.training.qat_trainer",
    "QATTrainer": "hfcompress.training.qat_trainer",
    "Recipe": "hfcompress.recipe.recipe",
    "Results": "hfcompress.results",
    "Settings": "hfcompress.runtimes.settings",
    "Simulation": "hfcompress.quantize.simulation",
    "explain": "hfcompress.profiling.api",
    "export_onnx": "hfcompress.export.api",
    "lint_onnx": "hfcompress.onnx_graph.lint.files",
    "load": "hfcompress.runtimes.load",
    "load_pipeline": "hfcompress.runtimes.pipeline",
    "load_recipe": "hfcompress.recipe.loader",
    "measure": "hfcompress.pipeline.measure",
    "provider_options": "hfcompress.runtimes.tensorrt",
    "quantize_onnx": "hfcompress.quantize.api",
    "read_results": "hfcompress.results",
    "run_recipe": "hfcompress.pipeline.run",
    "simulate": "hfcompress.pipeline.simulate",
    "tune_artifact": "hfcompress.pipeline.tune",
    "write_bundle": "hfcompress.pipeline.bundle",
}

__all__ = [
    "Batching",
    "BundleConfig",
    "DistillationArguments",
    "DistillationTrainer",
    "HfcompressError",
    "LoadedModel",
    "Options",
    "QATArguments",
    "QATTrainer",
    "Recipe",
    "Results",
    "Settings",
    "Simulation",
    "__version__",
    "explain",
    "export_onnx",
    "lint_onnx",
    "load",
    "load_pipeline",
    "load_recipe",
    "measure",
    "provider_options",
    "quantize_onnx",
    "read_results",
    "run_recipe",
    "simulate",
    "tune_artifact",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
