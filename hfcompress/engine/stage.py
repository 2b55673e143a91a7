"""The `engine` stage: build TensorRT's engines into the artifact, and prove that they answer as the graph does."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.artifact import Artifact, hash_file
from hfcompress.engine.options import engine_options
from hfcompress.errors import StageError
from hfcompress.export.check import compare_in_spreads
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.profiles import Profile, covering, derive_profiles
from hfcompress.recipe.stages import EngineConfig
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.runtimes.providers import TENSORRT
from hfcompress.runtimes.tensorrt import Machine, engine_folder, this_machine, with_paths
from hfcompress.stage import Inputs, Run
from hfcompress.tasks.lengths import Lengths

logger = logging.getLogger(__name__)

#: The largest accepted difference of an output, in standard deviations of it over all rows. TensorRT multiplies fp32 as
#: TF32 (10 bits of mantissa, as fp16); INT8 may round a value on the border of two integers to the other one.
TOLERANCES = {"fp32": 0.05, "fp16": 0.05, "bf16": 0.25, "int8": 0.5}
_ROWS = 32


def engine(config: EngineConfig, inputs: Inputs, run: Run) -> Artifact:
    """Build at the sizes of the profiles, and compare with ONNX Runtime's CPU provider on validation rows.

    Raises:
        ProviderError: this machine has no TensorRT or no GPU, or TensorRT does not take the whole graph.
        NumericalMismatchError: the engine answers otherwise.
        StageError: no engine was written.
    """
    source, machine = inputs.source.path, this_machine()
    shutil.copytree(source, run.out, ignore=shutil.ignore_patterns("manifest.json"), dirs_exist_ok=True)
    reference = OnnxRuntime(source)
    profiles = profiles_of(config, source, reference.input_names, run)
    options = engine_options(config, profiles)
    graph = hash_file(model_file(run.out)).sha256
    folder = engine_folder(run.out, graph, machine)
    folder.mkdir(parents=True)
    run.progress.say(f"{run.name}: building for {machine.gpu}, TensorRT {machine.tensorrt}")
    built = OnnxRuntime(run.out, TENSORRT, provider_options=with_paths(options, folder))
    tolerance = TOLERANCES[config.precision] if config.tolerance is None else config.tolerance
    found = compare_in_spreads(reference, built, _batches(source, config, run), tolerance)
    _check_built(folder)
    logger.info("%s: differs by at most %.2g standard deviations", run.name, found.largest)
    proof = {"tolerance": tolerance, "largest_difference": found.largest, "batches": found.batches}
    return Artifact(run.out, "onnx", details={**_details(machine, options), **_inherited(inputs.source), **proof})


def profiles_of(config: EngineConfig, source: Path, inputs: tuple[str, ...], run: Run) -> dict[str, Profile]:
    """The sizes of every row of the data in the batches of the config, and those of the timing session."""
    task = run.data.task
    processor = task.load_processor(source)
    lengths = Lengths.of(run.data.prepared(split, processor) for split in run.data.rows.splits)
    batches = config.batch or (1, task.predict_rows)
    profiles = derive_profiles(task, processor, inputs, lengths, batches)
    sizes = product(batches, config.sequence or ())
    made = (task.grid_batch(processor, rows, tokens, seed=0) for rows, tokens in sizes)
    return covering(profiles, ({name: batch[name].shape for name in inputs} for batch in made))


def _batches(source: Path, config: EngineConfig, run: Run) -> Iterator[dict[str, np.ndarray]]:
    """Validation rows, alone and in the largest batches that the engine takes."""
    processor = run.data.task.load_processor(source)
    split = "validation" if "validation" in run.data.rows.splits else next(iter(run.data.rows.splits))
    prepared = run.data.prepared(split, processor)
    collate = run.data.task.collate(processor)
    for turn, size in enumerate((1, max(config.batch or (run.data.task.predict_rows,)))):
        chosen = np.random.default_rng([run.seed, turn]).permutation(len(prepared))[:_ROWS]
        for start in range(0, len(chosen), size):
            yield collate([prepared[int(index)] for index in chosen[start : start + size]])


def _check_built(folder: Path) -> None:
    if not any(folder.glob("*.engine")):
        held = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise StageError(
            f"TensorRT ran and left no engine in its cache, only {held}, so the artifact would build one each time; "
            "report this with the versions that `hfcompress doctor` prints"
        )


def _details(machine: Machine, options: Mapping[str, str]) -> dict[str, Any]:
    return {
        "runtime": f"onnxruntime:{TENSORRT}",
        "provider_options": dict(options),
        "gpu": machine.gpu,
        "tensorrt": machine.tensorrt,
        "onnxruntime": machine.onnxruntime,
    }


def _inherited(source: Artifact) -> dict[str, Any]:
    """What the manifest of the graph says that holds of its engine."""
    return {name: value for name, value in (source.details or {}).items() if name in ("target", "reason", "dtype")}
