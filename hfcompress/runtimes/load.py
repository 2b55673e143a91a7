"""`load(path)`: any artifact, ready to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.artifact import FileEntry, hash_folder, max_length_of, read_manifest
from hfcompress.errors import InputError
from hfcompress.hub.published import PublishedModel, choose, download, is_repo_id, read_repository_manifest
from hfcompress.models.folder import check_safe, read_config, resolve, task_of
from hfcompress.recipe.schema import ModelRef
from hfcompress.recipe.tasks import TaskName
from hfcompress.results.serving import FOLDER as SERVING_FOLDER
from hfcompress.results.serving import Chosen, Goal
from hfcompress.runtimes.base import Runtime
from hfcompress.runtimes.installed import runtimes_here
from hfcompress.runtimes.open import runtime_for
from hfcompress.runtimes.serving import find_serving, serving_folders, settings_of, usable
from hfcompress.runtimes.settings import Settings
from hfcompress.tasks import get_task
from hfcompress.tasks.base import Task
from hfcompress.tasks.labels import Labels

#: Format -> its graphs in a folder.
_GRAPHS = {"onnx": "*.onnx", "openvino": "*.xml"}
#: Tokens after which text is cut when the folder has no manifest that says it.
_MAX_LENGTH = 512


@dataclass(frozen=True)
class LoadedModel:
    """A model, its preprocessing and its classes.

    Attributes:
        task: what it does.
        processor: its tokenizer or image processor.
        runtime: what computes.
        labels: its class names in the order of the outputs, where it has classes, and what they mean.
        max_length: tokens after which text is cut.
        folder: of its configuration and processor.
        serving: what `hfcompress tune` found best for this artifact on this host, where `runtime` is run so.
    """

    task: Task
    processor: Any
    runtime: Runtime
    labels: Labels
    max_length: int
    folder: Path
    serving: Chosen | None = None

    def preprocess(self, examples: Sequence[Any]) -> dict[str, np.ndarray]:
        """Examples (strings, pairs of strings, images: what the task takes) to one padded batch."""
        return self.task.preprocess(examples, self.processor, self.max_length)

    def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A batch to named outputs, rows on axis 0: `logits` (rows, classes) of a classification model."""
        return self.runtime.predict(batch)

    def answer(self, examples: Sequence[Any]) -> list[Any]:
        """One answer an example: what it is depends on the task, see `answers` of its class in `hfcompress/tasks`.

        A class name, or a list of them for a multi-label model, or a number for a regression.

        Raises:
            DataError: examples that the task cannot read.
        """
        batch = self.preprocess(examples)
        kept = self.task.predictions(self.predict(batch), batch, self.labels)
        return self.task.answers(kept, examples, self.processor, self.labels)

    def classify(self, examples: Sequence[Any]) -> list[str]:
        """Examples to the names of their most likely classes.

        Raises:
            InputError: the model does not give one class an example.
        """
        if self.labels.problem != "single_label_classification":
            kind = self.labels.problem or self.task.name
            raise InputError(f"classify gives one class an example, and this model is for {kind}; call `answer`")
        return self.answer(examples)


def load(
    path: Path | str,
    runtime: str | None = None,
    *,
    artifact: str | None = None,
    revision: str | None = None,
    threads: int | None = None,
) -> LoadedModel:
    """Load an artifact of a run, of a published repository, or any local model folder with a task's head.

    Where `hfcompress tune` wrote a serving file for this artifact and this host, its settings for latency are used,
    unless `runtime` or `threads` is given; `LoadedModel.serving` says so. Settings that need more cores or
    another runtime than there are, or compute in another precision, are left alone, and the log warns.

    Args:
        path: a folder: torch (safetensors), ONNX, OpenVINO, or a whole published repository. Or a Hub id.
        runtime: `torch`, `torch:cuda`, `onnxruntime`, `onnxruntime:<provider>` or `openvino`; default: what the
            artifact is made for, else the format's own on the CPU.
        artifact: which one, where a published repository holds several.
        revision: a branch, tag or commit of a Hub id.
        threads: cores of one call; default: all that this process may use.

    Raises:
        InputError: no model folder, no known task, not safe to load, the runtime is not what was asked for, or the
            serving file that `hfcompress tune` wrote for it on this host is damaged.
    """
    settings = None if runtime is None and threads is None else Settings(runtime, threads)
    return load_for("latency", path, settings, artifact=artifact, revision=revision)


def load_for(
    goal: Goal, path: Path | str, settings: Settings | None, *, artifact: str | None, revision: str | None
) -> LoadedModel:
    """As `load`; without settings, those of the serving file for this goal, or the default ones."""
    found = _locate(path, artifact, revision)
    config = read_config(found.folder)
    task = _task(found.folder, found.task, config)
    code = get_task(task)
    if found.format == "torch":
        check_safe(found.folder)
    chosen = None if settings is not None else _chosen(goal, found)
    if chosen is not None:
        settings = settings_of(chosen.settings)
    settings = settings or Settings()
    settings = replace(settings, runtime=settings.runtime or found.runtime)
    return LoadedModel(
        task=code,
        processor=code.load_processor(found.folder),
        runtime=runtime_for(found.model, found.format, task, settings),
        labels=code.labels_of_model(config),
        max_length=max_length_of(found.details, found.folder) or _MAX_LENGTH,
        folder=found.folder,
        serving=chosen,
    )


def _chosen(goal: Goal, found: _Located) -> Chosen | None:
    """What the serving file of this host says, where it can be run here."""
    serving = find_serving(found.serving, found.files, found.artifact)
    if serving is None:
        return None
    chosen = {"latency": serving.latency, "throughput": serving.throughput}[goal]
    return chosen if usable(chosen, runtimes_here(found.format, found.runtime)) else None


@dataclass(frozen=True)
class _Located:
    """A model on this machine.

    Attributes:
        folder: of its configuration and processor.
        model: what its runtime opens.
        format: `torch`, `onnx` or `openvino`.
        task: what its manifest says, where it has one.
        details: of its manifest.
        serving: folders where its serving files may lie.
        files: gives its files, by name.
        artifact: its folder; None: in a published repository.
    """

    folder: Path
    model: Path
    format: str
    task: str | None
    details: Mapping[str, Any]
    serving: tuple[Path, ...]
    files: Callable[[], Mapping[str, FileEntry]]
    artifact: Path | None = None

    @property
    def runtime(self) -> str | None:
        """What it is made for, where its manifest says it."""
        said = self.details.get("runtime")
        return said if isinstance(said, str) else None


def _locate(path: Path | str, artifact: str | None, revision: str | None) -> _Located:
    folder = Path(path).expanduser()
    if folder.is_dir():
        published = read_repository_manifest(folder)
        if published is not None:
            return _published(PublishedModel(folder, choose(published, artifact, str(path))))
    elif "/" in str(path) and is_repo_id(str(path)):
        downloaded = download(str(path), artifact, revision)
        if downloaded is not None:
            return _published(downloaded)
        folder = resolve(ModelRef(id=str(path), revision=revision))
    else:
        raise InputError(
            f"{folder} is no folder; give an artifact's folder, such as runs/<recipe>/artifacts/<stage>, or a Hub id"
        )
    if artifact is not None:
        raise InputError(f"{path} is one model and no published repository of hfcompress; leave `artifact` out")
    manifest = read_manifest(folder)
    return _Located(
        folder=folder,
        model=folder,
        format=format_of(folder),
        task=None if manifest is None else manifest.task,
        details={} if manifest is None else manifest.details,
        serving=serving_folders(folder),
        files=lambda: hash_folder(folder) if manifest is None else manifest.files,
        artifact=folder,
    )


def _published(found: PublishedModel) -> _Located:
    said = found.said
    serving = (found.root / SERVING_FOLDER,)
    return _Located(found.folder, found.model, said.format, said.task, said.details, serving, found.files)


def format_of(folder: Path) -> str:
    """`onnx` or `openvino` when the folder holds such a graph, `torch` otherwise; a manifest has the last word."""
    manifest = read_manifest(folder)
    if manifest is not None:
        return manifest.format
    if any(folder.glob("*.safetensors")):
        return "torch"
    return next((name for name, graph in _GRAPHS.items() if any(folder.glob(graph))), "torch")


def _task(folder: Path, named: str | None, config: dict[str, Any]) -> TaskName:
    task = task_of(config)
    if task is None:
        heads = ", ".join(config.get("architectures") or ["nothing"])
        raise InputError(f"{folder} has no head for a task that hfcompress knows (its config names {heads})")
    if named is not None and named != task:
        raise InputError(f"{folder} is damaged: its manifest says {named}, its config {task}")
    return task
