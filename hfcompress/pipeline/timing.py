"""The timing session over all artifacts of a run, kept in the run folder with every sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hfcompress.artifact import Artifact, sha256_of
from hfcompress.benchmark.session import Cell, Subject, Timings, time_interleaved
from hfcompress.host import default_threads, describe_host, host_id
from hfcompress.progress import Progress
from hfcompress.recipe.data import BenchmarkConfig, Split
from hfcompress.recipe.tasks import TASKS
from hfcompress.runtimes.settings import Settings
from hfcompress.tasks.base import Task
from hfcompress.tasks.data import Data

if TYPE_CHECKING:
    from hfcompress.pipeline.build import Made


def timings_of(
    made: Mapping[str, Made],
    data: Data,
    split: Split,
    config: BenchmarkConfig,
    seed: int,
    path: Path,
    progress: Progress,
) -> dict[str, Timings]:
    """Time every artifact in one interleaved session, unless `path` holds one of the same artifacts, data and host.

    A new artifact repeats the session for all: figures from two sessions do not compare.
    """
    key = sha256_of(
        {
            "artifacts": {name: (entry.digest, entry.artifact.runtime) for name, entry in made.items()},
            "stream": data.identity(split),
            "benchmark": config.model_dump(mode="json"),
            "seed": seed,
            "threads": config.threads or default_threads(),
            "host": host_id(describe_host()),
        }
    )
    found = _read(path, key)
    if found is not None:
        progress.say("benchmark: taken from the run folder")
        return found
    subjects = [subject_of(name, entry.artifact, data.task) for name, entry in made.items()]
    first = next(iter(made.values())).artifact
    threads = config.threads or default_threads()
    timings = time_interleaved(
        subjects,
        grid(data.task, first, config, seed),
        stream(data, first, split, config, seed),
        config,
        threads,
        progress,
    )
    _write(path, key, timings)
    return timings


def subject_of(name: str, artifact: Artifact, task: Task) -> Subject:
    """What the session times of an artifact."""
    return Subject(name, artifact.path, artifact.format, task.name, Settings(artifact.runtime), artifact.trusted)


def grid(task: Task, model: Artifact, config: BenchmarkConfig, seed: int) -> list[Cell]:
    """The cells of the latency grid, with inputs made for `model`'s processor."""
    processor = task.load_processor(model.path)
    lengths: tuple[int | None, ...] = config.sequence if TASKS[task.name].has_sequence else (None,)
    return [
        Cell(batch, length, task.grid_batch(processor, batch, length or 0, seed))
        for batch in config.batch
        for length in lengths
    ]


def stream(
    data: Data, model: Artifact, split: Split, config: BenchmarkConfig, seed: int
) -> list[dict[str, np.ndarray]]:
    """Batches of the data's own rows, sorted by length; holds `config.stream.rows` rows of inputs in memory."""
    processor = data.task.load_processor(model.path)
    prepared = data.prepared(split, processor)
    chosen = np.random.default_rng(seed).permutation(len(prepared))[: config.stream.rows]
    return list(data.batches(prepared.select(np.sort(chosen)), processor, config.stream.batch))


def _write(path: Path, key: str, timings: Mapping[str, Timings]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    content = {"key": key, "timings": {name: timing.to_json() for name, timing in timings.items()}}
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)


def _read(path: Path, key: str) -> dict[str, Timings] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] != key:
            return None
        return {name: Timings.from_json(timing) for name, timing in content["timings"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
