"""`tune_artifact`: what runs an artifact best on this host, found by trying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.artifact import Artifact, digest_of, hash_folder, max_length_of, model_digest, read_manifest
from hfcompress.benchmark.process import Subject
from hfcompress.benchmark.statistics import SPREAD_LIMIT, percentiles, ratio_interval, spread
from hfcompress.benchmark.stream_session import StreamSession
from hfcompress.errors import InputError
from hfcompress.host import default_threads, describe_host, host_id
from hfcompress.hub.local_paths import without_folders
from hfcompress.models.folder import read_config, task_of
from hfcompress.pipeline.folder import RunFolder
from hfcompress.progress import SILENT, Progress
from hfcompress.recipe.data import DataConfig, Split
from hfcompress.recipe.loader import load_recipe
from hfcompress.recipe.tasks import TASKS
from hfcompress.results.serving import (
    Chosen,
    Goal,
    LeftOut,
    ServedBatches,
    ServedSettings,
    Serving,
    Tried,
    write_serving,
)
from hfcompress.runtimes.load import format_of
from hfcompress.runtimes.serving import serving_path
from hfcompress.runtimes.settings import Settings
from hfcompress.tasks import get_task
from hfcompress.tasks.base import Task
from hfcompress.tasks.data import collated
from hfcompress.tasks.loading import load_prepared_inputs
from hfcompress.tune.candidates import Candidate, default_settings, installed_runtimes, settings_for
from hfcompress.tune.options import TuneOptions
from hfcompress.tune.search import Findings, Found, Search, StreamRows

#: Rows of a stream: of text, and of what has one size.
_ROWS, _EQUAL_ROWS = 512, 128


@dataclass(frozen=True)
class Tuned:
    """What `tune_artifact` found, and the file that says it."""

    serving: Serving
    path: Path


def tune_artifact(
    model: Path | str,
    *,
    data: DataConfig | None = None,
    split: Split | None = None,
    options: TuneOptions = TuneOptions(),
    out: Path | None = None,
    progress: Progress = SILENT,
) -> Tuned:
    """Try runtimes, threads, streams and batches on the data's own lengths; write the best for this host to a file.

    `load` takes its settings for latency from that file, `load_pipeline` those for throughput. Precision stays as it
    is: a search for speed should not change answers.

    Args:
        model: `runs/<recipe>/artifacts/<stage>`, or any model folder with `data`.
        data: rows to run on; default: those of the run's recipe.
        split: the role of the split in `data` that is read; default: the one that the recipe's gates read.
        options: the bounds of the search.
        out: the file to write; default: `serving/<artifact>-<host>.json` in the run folder, or beside the artifact.
        progress: where progress goes.

    Raises:
        InputError: no model folder, no data, nothing that runs it, too small a budget, or no place for the file.
        MeasurementError: the default session could not be measured.
    """
    if out is not None and out.is_dir():
        raise InputError(f"{out} is a folder; name a file with --out")
    artifact = read_artifact(Path(model))
    runtimes = installed_runtimes(artifact.format, artifact.made_for)
    rows = stream_rows(artifact, data, split, options)
    cores = options.threads or default_threads()
    subject = Subject(artifact.path.name, artifact.path, artifact.format, artifact.task.name)
    with (
        StreamSession(subject, cores) as session,
        progress.bar("tuning, seconds", max(1, round(options.budget_s))) as bar,
    ):
        search = Search(session, rows, default_settings(runtimes, cores), options, bar)
        found = search.run(settings_for(runtimes, cores))
    serving = _serving(artifact, found, cores, options)
    path = out or serving_path(artifact.path, serving.host)
    write_serving(serving, path)
    return Tuned(serving, path)


@dataclass(frozen=True)
class TunedArtifact:
    """A model folder, as far as a search has to know it.

    Attributes:
        path, format: as an `Artifact` has them.
        task: what it does.
        made_for: the runtime that its manifest names.
        digest: of all its files.
        model_digest: of weights and graph alone.
        max_length: tokens at which its run cut texts, if its manifest says so.
    """

    path: Path
    format: str
    task: Task
    made_for: str | None
    digest: str
    model_digest: str
    max_length: int | None


def read_artifact(folder: Path) -> TunedArtifact:
    """A folder that can be tuned.

    Raises:
        InputError: it is no model folder, or of no known task.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give an artifact's, such as runs/<recipe>/artifacts/<stage>")
    task = task_of(read_config(folder))
    if task is None:
        raise InputError(f"{folder} has no head for a task that hfcompress knows")
    manifest = read_manifest(folder)
    made_for = None if manifest is None else Artifact(folder, manifest.format, manifest.details).runtime
    files = hash_folder(folder)
    model = model_digest(files)
    if model is None:
        raise InputError(f"{folder} holds neither weights nor a graph; give an artifact's folder, as a whole")
    length = None if manifest is None else max_length_of(manifest.details, folder)
    return TunedArtifact(folder.resolve(), format_of(folder), get_task(task), made_for, digest_of(files), model, length)


def stream_rows(
    artifact: TunedArtifact, data: DataConfig | None, split: Split | None, options: TuneOptions
) -> StreamRows:
    """Rows of the data, chosen by the seed, in their order, cut where `load` cuts them; labels are not read."""
    config, role = _data_of(artifact.path, data, split)
    if artifact.max_length is not None:
        config = config.model_copy(update={"max_length": artifact.max_length})
    task = artifact.task
    prepared = load_prepared_inputs(config, role, task, artifact.path, options.seed)
    most = options.rows or (_ROWS if TASKS[task.name].has_sequence else _EQUAL_ROWS)
    chosen = np.sort(np.random.default_rng(options.seed).permutation(len(prepared))[:most])
    prepared, collate = prepared.select(chosen), task.collate(task.load_processor(artifact.path))
    has_lengths = "length" in prepared.column_names
    lengths = np.asarray(prepared["length"]) if has_lengths else np.ones(len(prepared), dtype=np.int64)

    def batches(groups: Sequence[np.ndarray]) -> Iterator[Mapping[str, np.ndarray]]:
        return collated(prepared, collate, groups)

    return StreamRows(lengths, batches)


def _data_of(folder: Path, data: DataConfig | None, split: Split | None) -> tuple[DataConfig, Split]:
    """The data, of which one split is read, and its role."""
    if data is None:
        run = RunFolder(folder.parent.parent)
        if folder.parent.name != "artifacts" or not run.recipe.is_file():
            raise InputError(f"{folder} is no artifact of a run, so there are no rows to run on; give --data")
        recipe = load_recipe(run.recipe)
        data, split = recipe.data, split or recipe.evaluate.gates_on
    role = split or next(iter(data.splits))
    if role not in data.splits:
        raise InputError(f"the data names no split `{role}`; it names {', '.join(data.splits)}")
    return data.model_copy(update={"splits": {role: data.splits[role]}, "unlabeled": None}), role


def _serving(artifact: TunedArtifact, found: Findings, cores: int, options: TuneOptions) -> Serving:
    host = describe_host()
    rows, lengths = len(found.rows.lengths), found.rows.lengths
    goals: dict[Goal, Found] = {"latency": found.latency, "throughput": found.throughput}
    left_out = {_shape(each): reason for each, reason in found.left_out.items()}
    for goal, each in goals.items():
        left_out |= {f"{goal}: {candidate}": reason for candidate, reason in each.samples.left_out.items()}
    return Serving(
        artifact=artifact.path.name,
        digest=artifact.digest,
        model_digest=artifact.model_digest,
        task=artifact.task.name,
        format=artifact.format,
        host=host_id(host),
        description=host.model_dump(mode="json"),
        cores=cores,
        rows=rows,
        mean_tokens=float(lengths.mean()) if TASKS[artifact.task.name].has_sequence else None,
        exhaustive=options.exhaustive,
        **{goal: _chosen(goal, each, rows, options.seed) for goal, each in goals.items()},
        tried=tuple(_all_tried(goals, rows)),
        left_out=tuple(
            LeftOut(what=what, reason=_without_folders(reason, artifact.path)) for what, reason in left_out.items()
        ),
    )


def _without_folders(reason: str, artifact: Path) -> str:
    """A reason in which every absolute path is its last name: the file is to name no folder of this machine.

    The artifact's own path is known, and may hold spaces.
    """
    return without_folders(reason.replace(str(artifact), artifact.name))


def _shape(settings: Settings) -> str:
    return f"{settings.runtime}, {settings.threads} threads x {settings.streams} streams"


def _all_tried(goals: Mapping[Goal, Found], rows: int) -> Iterator[Tried]:
    """Of each goal, the fastest first."""
    for goal, found in goals.items():
        for candidate in sorted(found.samples.seconds, key=found.samples.median):
            yield Tried(**_figures(goal, candidate, found.samples.seconds[candidate], found.calls_s[candidate], rows))


def _figures(
    goal: Goal, candidate: Candidate, seconds: Sequence[float], calls_s: Sequence[float], rows: int
) -> dict[str, Any]:
    calls = percentiles(calls_s)
    return {
        "goal": goal,
        "settings": ServedSettings(**asdict(candidate.settings)),
        "batching": ServedBatches(**asdict(candidate.batching)),
        "passes": len(seconds),
        "throughput_per_s": rows / float(np.median(seconds)),
        "p50_ms": 1000 * calls.p50,
        "p99_ms": 1000 * calls.p99,
    }


def _chosen(goal: Goal, found: Found, rows: int, seed: int) -> Chosen:
    ours, theirs = found.last[found.best], found.last[found.default]
    speedup, default = ratio_interval(theirs, ours, seed), percentiles(found.last_calls_s[found.default])
    samples = {"throughput": ours, "speed-up": [b / a for a, b in zip(ours, theirs, strict=True)]}
    remarks = [
        f"{name} is unreliable: the quartiles of its {len(values)} samples lie {spread(values):.0%} of the median apart"
        for name, values in samples.items()
        if spread(values) > SPREAD_LIMIT
    ]
    return Chosen(
        **_figures(goal, found.best, ours, found.last_calls_s[found.best], rows),
        speedup=speedup.value,
        speedup_low=speedup.low,
        speedup_high=speedup.high,
        default_p50_ms=1000 * default.p50,
        default_p99_ms=1000 * default.p99,
        remarks=tuple(remarks),
    )
