"""One stage to one artifact: taken from the run folder when its key is unchanged, run otherwise."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from hfcompress.artifact import (
    Artifact,
    Manifest,
    damage,
    digest_of,
    hash_folder,
    read_manifest,
    write_manifest,
    writing,
)
from hfcompress.errors import InputError, StageError
from hfcompress.host import describe_host
from hfcompress.hub.local_paths import published_name, without_local_paths
from hfcompress.pipeline.dispatch import code_of, run_stage
from hfcompress.pipeline.engines import sized
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.judge import RecipeJudge
from hfcompress.pipeline.keys import library_version, stage_key
from hfcompress.pipeline.lead import Lead
from hfcompress.pipeline.plan import Plan
from hfcompress.progress import Progress
from hfcompress.recipe.recipe import SOURCE
from hfcompress.stage import Inputs, Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """An artifact that is whole.

    Attributes:
        artifact: its folder and format.
        digest: over its files.
        seconds: what making it took in this run; 0 where it was taken from the run folder.
        cached: whether it was taken from the run folder.
    """

    artifact: Artifact
    digest: str
    seconds: float = 0.0
    cached: bool = True


@dataclass(frozen=True)
class Options:
    """How a run treats what it finds and leaves behind.

    Attributes:
        fresh: run every stage again.
        keep_checkpoints: leave `work/` as it is when an artifact is whole.
        trust_remote_code: whether models may bring their own code.
    """

    fresh: bool = False
    keep_checkpoints: bool = False
    trust_remote_code: bool = False


def outside(plan: Plan) -> dict[str, Made]:
    """What the recipe starts from: `source`, and other models that are no stages."""
    models = {SOURCE: plan.source, **plan.outside}
    return {name: Made(artifact, plan.digests[name]) for name, artifact in models.items()}


def key_of(plan: Plan, name: str, made: Mapping[str, Made]) -> str:
    """The stage key, once everything that the stage takes is made."""
    inputs = {"source": made[plan.recipe.source_of(name)].digest}
    inputs |= {f"teacher {place}": made[teacher].digest for place, teacher in enumerate(plan.teachers_of(name))}
    student = plan.student_of(name)
    if student is not None:
        inputs["student"] = made[student].digest
    return stage_key(sized(plan.recipe, name, plan.data.task), plan.data, plan.recipe.seed, inputs)


def cached(plan: Plan, name: str, folder: RunFolder, key: str) -> Made | None:
    """The artifact of a stage when the run folder holds it whole, under this key."""
    path = folder.artifact(name)
    try:
        manifest = read_manifest(path)
    except InputError as error:
        logger.warning("%s: is made again: %s", name, error)
        return None
    if manifest is None or manifest.key != key:
        return None
    fault = damage(path, manifest)
    if fault is not None:
        logger.warning("%s: is made again, since in its artifact %s", name, fault)
        return None
    artifact = Artifact(path, manifest.format, manifest.details, plan.source.trusted)
    return Made(artifact, digest_of(manifest.files))


def build(
    plan: Plan,
    name: str,
    made: Mapping[str, Made],
    folder: RunFolder,
    options: Options,
    progress: Progress,
    lead: Lead,
) -> Made:
    """The artifact of a stage, made now unless the run folder has it; the other ranks take part where it trains.

    Raises:
        StageError: the stage failed; nothing of it is left but its checkpoints.
    """
    key = key_of(plan, name, made)
    found = None if options.fresh else cached(plan, name, folder, key)
    if found is not None:
        progress.say(f"{name}: taken from the run folder")
        return found
    started = time.perf_counter()
    work = folder.work(name, key)
    if options.fresh:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    with writing(folder.artifact(name)) as out:
        judge = RecipeJudge.of(plan, progress)
        run = Run(name, plan.data, plan.recipe.seed, out, work, progress, folder.teacher_cache, judge)
        with lead.training(name, key, made) if plan.recipe.stages[name].config.trains else nullcontext():
            artifact = run_named(plan, name, made, run)
        files = hash_folder(out)
        write_manifest(out, _manifest(plan, name, made, key, artifact).model_copy(update={"files": files}))
    if not options.keep_checkpoints:
        shutil.rmtree(work, ignore_errors=True)
    seconds = time.perf_counter() - started
    path = folder.artifact(name)
    whole = Artifact(path, artifact.format, artifact.details, plan.source.trusted)
    return Made(whole, digest_of(files), seconds, cached=False)


def run_named(plan: Plan, name: str, made: Mapping[str, Made], run: Run) -> Artifact:
    """Run a stage on what it takes from `made`.

    Raises:
        StageError: it failed.
    """
    stage = plan.recipe.stages[name]
    teachers = tuple(made[teacher].artifact for teacher in plan.teachers_of(name))
    student = plan.student_of(name)
    start = None if student is None else made[student].artifact
    inputs = Inputs(made[plan.recipe.source_of(name)].artifact, teachers, start)
    try:
        return run_stage(sized(plan.recipe, name, plan.data.task), inputs, run)
    except (RuntimeError, MemoryError, OSError) as error:
        # What torch, ONNX Runtime and the disk raise; a defect of ours is a TypeError or the like and stays one.
        raise StageError(f"the stage `{name}` ({stage.verb}) failed: {error}") from error


def _manifest(plan: Plan, name: str, made: Mapping[str, Made], key: str, artifact: Artifact) -> Manifest:
    stage, source = plan.recipe.stages[name], plan.recipe.source_of(name)
    parents = dict.fromkeys((source, *plan.models_of(name)))
    return Manifest(
        name=name,
        stage=stage.verb,
        format=artifact.format,
        task=plan.recipe.task,
        files={},
        key=key,
        recipe=without_local_paths(stage.model_dump(mode="json", by_alias=True, exclude_none=True)),
        parents={published_name(parent): made[parent].digest for parent in parents},
        versions={library: library_version(library) or "" for library in code_of(stage.config).libraries},
        seed=plan.recipe.seed,
        host=describe_host().model_dump(mode="json"),
        details={"max_length": plan.data.max_length, **(artifact.details or {})},
    )
