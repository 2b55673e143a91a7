"""Runs a recipe in a process that is about to be killed; started by `test_kill.py` with everything imported."""

from __future__ import annotations

import os
from pathlib import Path

# Imported here, so that a process that is forked from the server of this module runs at once.
import optimum.exporters.onnx
import optimum.onnxruntime  # noqa: F401
import torch
import transformers  # noqa: F401

import hfcompress.distill.stage
import hfcompress.export.stage
import hfcompress.pipeline.run
import hfcompress.quantize.stage
import hfcompress.training.trainer
from hfcompress.recipe import parse_recipe


def work(recipe: dict[str, object], folder: str) -> None:
    """Run the recipe; quietly, since killed processes leave half lines."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    torch.set_num_threads(1)
    hfcompress.pipeline.run.run_recipe(parse_recipe(recipe), out=Path(folder))
