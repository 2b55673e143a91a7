"""`measure`: any models side by side, without a recipe."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hfcompress._version import __version__
from hfcompress.artifact import Artifact, digest_of, hash_folder, model_bytes, read_manifest
from hfcompress.benchmark.session import Cell, time_interleaved
from hfcompress.benchmark.size import integer_operators, parameters
from hfcompress.benchmark.summary import speed_of
from hfcompress.errors import InputError, ModelError
from hfcompress.host import default_threads, describe_host, host_id
from hfcompress.models.folder import read_config, task_of
from hfcompress.pipeline.predictions import Predictions, predict_split
from hfcompress.pipeline.score import compare, score
from hfcompress.pipeline.timing import grid, stream, subject_of
from hfcompress.progress import SILENT, Progress
from hfcompress.quantize.simulation import saturation_here
from hfcompress.quantize.targets import target_remarks
from hfcompress.recipe.data import BenchmarkConfig, DataConfig, Split
from hfcompress.recipe.tasks import TASKS, Metric, TaskName
from hfcompress.results import ArtifactResult, Results
from hfcompress.runtimes.load import format_of
from hfcompress.tasks import get_task
from hfcompress.tasks.base import Task
from hfcompress.tasks.data import Data
from hfcompress.tasks.loading import load_data

logger = logging.getLogger(__name__)

#: Rows of the made-up stream, when no data is given.
_STREAM_ROWS = 256


def measure(
    models: Sequence[Path | str],
    *,
    data: DataConfig | None = None,
    split: Split = "validation",
    benchmark: BenchmarkConfig = BenchmarkConfig(),
    seed: int = 0,
    progress: Progress = SILENT,
) -> Results:
    """Measure model folders side by side, in the way a recipe measures its artifacts; the first one is the baseline.

    Args:
        models: torch or ONNX folders of one task.
        data: rows for metrics and throughput. Without it there are no metrics, and the stream is made up: rows of
            random tokens whose lengths are drawn evenly between the smallest and the largest of `benchmark.sequence`.
        split: the role of the split in `data` that is read.
        benchmark: the latency grid and the stream.
        seed: of everything that draws.
        progress: where progress goes.

    Raises:
        InputError: a folder cannot be loaded, the models are of different tasks, or the data does not fit them.
        MeasurementError: a model could not be timed.
    """
    artifacts = _named([Path(model) for model in models])
    for artifact in artifacts.values():
        if artifact.format == "onnx" and (found := saturation_here(artifact.path)) is not None:
            logger.warning(found)
    task = _common_task(artifacts)
    rows = None if data is None else load_data(data, task, next(iter(artifacts.values())).path, seed)
    answers = _answers(artifacts, rows, split, progress)
    first = next(iter(artifacts.values()))
    cells, batches = _inputs(task, rows, first, split, benchmark, seed)
    subjects = [subject_of(name, artifact, task) for name, artifact in artifacts.items()]
    threads = benchmark.threads or default_threads()
    timings = time_interleaved(subjects, cells, batches, benchmark, threads, progress)
    host, baseline = host_id(describe_host()), next(iter(artifacts))
    metric = TASKS[task.name].metrics[0] if rows is None else task.metrics(rows.labels)[0]
    return Results(
        recipe="benchmark",
        task=task.name,
        metric=metric,
        hosts={host: describe_host().model_dump(mode="json")},
        baseline=baseline,
        hfcompress=__version__,
        artifacts=tuple(
            ArtifactResult(
                **speed_of(timings[name], timings[baseline], host, seed, target_remarks(artifact)).model_dump(),
                **_quality(answers, rows, name, metric, split, seed),
                **_size(name, artifact),
                publishable=True,  # no gate, no recipe: there is nothing that it failed
            )
            for name, artifact in artifacts.items()
        ),
    )


def _named(folders: Sequence[Path]) -> dict[str, Artifact]:
    """Artifacts by their folder's name, or by their path where two folders have one name."""
    if not folders:
        raise InputError("nothing to measure; give one or more model folders")
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder; give the folder of a torch or ONNX model")
    names = [folder.resolve().name for folder in folders]
    unique = len(set(names)) == len(names)
    labelled = zip(names if unique else map(str, folders), folders, strict=True)
    return {name: _artifact(folder) for name, folder in labelled}


def _artifact(folder: Path) -> Artifact:
    manifest = read_manifest(folder)
    return Artifact(folder, format_of(folder), None if manifest is None else manifest.details)


def _common_task(artifacts: Mapping[str, Artifact]) -> Task:
    tasks: dict[str, TaskName] = {}
    for name, artifact in artifacts.items():
        task = task_of(read_config(artifact.path))
        if task is None:
            raise ModelError(f"{name} has no head for a task that hfcompress knows")
        tasks[name] = task
    if len(set(tasks.values())) > 1:
        raise InputError(f"the models are of different tasks: {', '.join(f'{n} is {t}' for n, t in tasks.items())}")
    return get_task(next(iter(tasks.values())))


def _answers(
    artifacts: Mapping[str, Artifact], data: Data | None, split: Split, progress: Progress
) -> dict[str, Predictions]:
    if data is None:
        return {}
    return {name: predict_split(made, split, data, progress, f"{name}: {split}") for name, made in artifacts.items()}


def _inputs(
    task: Task, data: Data | None, model: Artifact, split: Split, config: BenchmarkConfig, seed: int
) -> tuple[list[Cell], list[dict[str, np.ndarray]]]:
    processor = task.load_processor(model.path)
    if data is not None:
        return grid(task, model, config, seed), stream(data, model, split, config, seed)
    lengths = np.random.default_rng(seed).integers(min(config.sequence), max(config.sequence) + 1, size=_STREAM_ROWS)
    longest = -np.sort(-lengths)[:: config.stream.batch]
    size = min(config.stream.batch, _STREAM_ROWS)
    batches = [task.grid_batch(processor, size, int(length), seed) for length in longest]
    return grid(task, model, config, seed), batches


def _quality(
    answers: Mapping[str, Predictions], data: Data | None, name: str, metric: Metric, split: Split, seed: int
) -> dict[str, object]:
    if data is None:
        return {}
    baseline = next(iter(answers))
    against = None if name == baseline else baseline
    return {
        "metrics": score(answers[name], data, [metric], split, seed),
        "difference": compare(answers, (name, against), data, [metric], split, seed),
    }


def _size(name: str, artifact: Artifact) -> dict[str, object]:
    return {
        "name": name,
        "stage": None,
        "format": artifact.format,
        "path": None,
        "digest": digest_of(hash_folder(artifact.path)),
        "size_mb": model_bytes(artifact.path) / 1e6,
        "parameters": parameters(artifact),
        "integer_operators": integer_operators(artifact),
    }
