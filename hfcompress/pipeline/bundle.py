"""`write_bundle`: an artifact as a folder that measures itself on another machine."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hfcompress._version import __version__
from hfcompress.artifact import (
    Artifact,
    FileEntry,
    Manifest,
    damage,
    digest_of,
    hash_folder,
    max_length_of,
    model_digest,
    read_manifest,
)
from hfcompress.bundle.config import BundleConfig
from hfcompress.bundle.description import (
    Bundle,
    BundledArtifact,
    BundledBenchmark,
    GridCell,
    Reference,
    bundled_profiles,
)
from hfcompress.bundle.folder import check_out, copy_model, write_batches, write_documents, writing_bundle
from hfcompress.bundle.profiles import check_profiles
from hfcompress.bundle.sample import Sampler
from hfcompress.bundle.trtexec import ENGINE, build_script
from hfcompress.errors import InputError, ModelError
from hfcompress.host import describe_host
from hfcompress.models.folder import read_config, task_of
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.lint import Finding
from hfcompress.onnx_graph.lint.files import lint_onnx
from hfcompress.onnx_graph.operators import operator_counts
from hfcompress.onnx_graph.profiles import Profiles, covering, derive_profiles
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.timing import grid
from hfcompress.progress import SILENT, Progress
from hfcompress.recipe.data import BenchmarkConfig, DataConfig, Split
from hfcompress.recipe.loader import load_recipe
from hfcompress.results.serving import FOLDER, for_others, read_serving, serving_text
from hfcompress.runtimes.base import Runtime
from hfcompress.runtimes.load import format_of
from hfcompress.runtimes.onnxruntime import SLOW_FUSIONS
from hfcompress.runtimes.open import runtime_for
from hfcompress.runtimes.providers import SIZE_OPERATORS, TENSORRT
from hfcompress.runtimes.settings import Settings
from hfcompress.tasks import get_task
from hfcompress.tasks.lengths import Lengths
from hfcompress.tasks.loading import load_data, load_prepared_inputs

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """What is measured on the target.

    Attributes:
        data: where rows come from.
        split: the role of the split that the sample is of.
        benchmark: the latency grid, and the batches of the sample.
        seed: chooses the sample, and the rows of a `limit`.
    """

    data: DataConfig
    split: Split
    benchmark: BenchmarkConfig
    seed: int = 0


def write_bundle(
    artifact: Path | str,
    out: Path | str,
    config: BundleConfig,
    measured: Measured | None = None,
    progress: Progress = SILENT,
) -> Bundle:
    """Write an artifact as a folder that measures itself on its target, with nothing of ours installed there.

    Args:
        artifact: its folder.
        out: the folder to write; a bundle that is there is replaced as a whole.
        config: what it is for.
        measured: the rows and sizes that are measured; default: those of the recipe whose run the artifact is of.
        progress: where progress goes.

    Returns:
        What `bundle.json` says.

    Raises:
        InputError: the artifact, the data, the profiles or the folder cannot be used; nothing is written.
    """
    source, folder = Path(artifact), Path(out).expanduser().resolve()
    manifest, format = _checked(source, folder, config)
    measured = _of_run(source) if measured is None else measured
    packing = _Packing(source, format, manifest, config, _with_length(measured, manifest, source), progress)
    return packing.write(folder)


def _run_of(artifact: Path) -> RunFolder | None:
    """The run folder that an artifact lies in, if it does."""
    path = artifact.resolve()
    folder = RunFolder(path.parent.parent)
    return folder if folder.recipe.is_file() and folder.artifact(path.name) == path else None


def measured_in_run(artifact: Path) -> Measured | None:
    """What the recipe of an artifact's run measures; None outside a run."""
    folder = _run_of(artifact)
    if folder is None:
        return None
    recipe = load_recipe(folder.recipe)
    return Measured(recipe.data, recipe.evaluate.gates_on, recipe.benchmark, recipe.seed)


def _of_run(artifact: Path) -> Measured:
    found = measured_in_run(artifact)
    if found is None:
        raise InputError(
            f"{artifact} lies in no run folder, so nothing says which rows to measure on; name them (--data DATA)"
        )
    return found


def _checked(source: Path, out: Path, config: BundleConfig) -> tuple[Manifest | None, str]:
    """The manifest and format of an artifact that is whole and fits the target."""
    if not source.is_dir():
        raise InputError(f"{source} is no folder; give an artifact's, such as runs/<recipe>/artifacts/<stage>")
    format = format_of(source)
    config.check_format(format, str(source))
    check_out(out, source)
    manifest = read_manifest(source)
    if manifest is not None and (found := damage(source, manifest)) is not None:
        raise InputError(f"{source} is damaged: {found}; run its recipe again")
    if manifest is not None and manifest.details.get("runtime") == f"onnxruntime:{TENSORRT}":
        raise InputError(
            f"{source} is an engine of TensorRT, which runs on the kind of GPU that built it alone; bundle its ONNX "
            "source, and the target builds its own"
        )
    if config.serving is not None and not config.serving.is_file():
        raise InputError(
            f"{config.serving} does not exist; `hfcompress tune` writes such a file, or leave --serving out"
        )
    return manifest, format


def _with_length(measured: Measured, manifest: Manifest | None, source: Path) -> Measured:
    """Text is cut where the artifact's own run cut it."""
    length = None if manifest is None else max_length_of(manifest.details, source)
    if length is None:
        return measured
    return replace(measured, data=measured.data.model_copy(update={"max_length": length}))


def _labelled(measured: Measured) -> DataConfig:
    """The splits whose labels are read: the measured one, and the first, which says what labels there are."""
    splits = measured.data.splits
    read = {role: name for role, name in splits.items() if role in (measured.split, next(iter(splits)))}
    return measured.data.model_copy(update={"splits": read, "unlabeled": None})


class _Packing:
    """One bundle on its way."""

    def __init__(
        self,
        source: Path,
        format: str,
        manifest: Manifest | None,
        config: BundleConfig,
        measured: Measured,
        progress: Progress,
    ) -> None:
        name = task_of(read_config(source))
        if name is None:
            raise ModelError(f"{source} has no head for a task that hfcompress knows")
        self.artifact = Artifact(source, format, None if manifest is None else manifest.details)
        self.name = source.resolve().name if manifest is None else manifest.name
        self.config, self.progress = config, progress
        self.split, self.benchmark, self.seed = measured.split, measured.benchmark, measured.seed
        self.all_data = measured.data
        self.task = get_task(name)
        self.data = load_data(_labelled(measured), self.task, source, self.seed)
        self.processor = self.task.load_processor(source)
        self.cells = grid(self.task, self.artifact, self.benchmark, self.seed)
        self.runtime: Runtime = runtime_for(source, format, name, Settings(self.artifact.runtime))
        self.sampler = Sampler(self.runtime, self.data, self.processor, self.benchmark.stream.batch)

    def write(self, out: Path) -> Bundle:
        """Check what the target would refuse, answer the sample, and write."""
        files = hash_folder(self.artifact.path)
        digest, travelling = digest_of(files), self._serving(files)
        profiles = self._profiles() if self.config.builds_engine else {}
        if self.config.builds_engine:
            self._lint(profiles)
        self._warn()
        with writing_bundle(out) as folder:
            model = copy_model(self.artifact.path, self.artifact.format, folder)
            chosen = self.data.sampled(self.split, self.config.rows, self.seed)
            rows = self.sampler.write(chosen.prepared(self.split, self.processor), folder, self.progress)
            write_batches({str(cell): self.sampler.inputs(cell.inputs) for cell in self.cells}, folder / "grid.npz")
            artifact = BundledArtifact(name=self.name, digest=digest, format=self.artifact.format)
            bundle = self._describe(artifact, model, profiles, rows)
            script = self._script(model, profiles)
            write_documents(bundle, folder, script, travelling)
        return bundle

    def _serving(self, files: Mapping[str, FileEntry]) -> dict[str, str]:
        """The file of `tune` that travels along, if there is one, without folders of this machine."""
        path = self.config.serving
        if path is None:
            return {}
        serving = read_serving(path)
        if serving.model_digest != model_digest(files):
            raise InputError(
                f"{path} is of another model than {self.artifact.path}: `{serving.artifact}`; run `hfcompress tune` on "
                "this one, or leave --serving out"
            )
        return {f"{FOLDER}/{path.name}": serving_text(for_others(serving))}

    def _warn(self) -> None:
        """What runs, and should not be served so."""
        if self.config.target == "openvino" and self._operators["DynamicQuantizeLinear"]:
            # 184 rows/s where ONNX Runtime had 1,661: a 3-layer BERT, two cores with VNNI, OpenVINO 2026.4.
            logger.warning(
                "%s is dynamic INT8, which OpenVINO computes far more slowly than ONNX Runtime; give it static INT8: "
                "quantize with a `calibration`",
                self.name,
            )

    @cached_property
    def _operators(self) -> Counter[str]:
        """Of an ONNX graph; of another format, nothing."""
        return operator_counts(model_file(self.artifact.path)) if self.artifact.format == "onnx" else Counter()

    def _profiles(self) -> Profiles:
        """The sizes of the engine: those that were named, or those of all rows and of the latency grid."""
        self.progress.say("reading the lengths of all rows")
        data, source = self.all_data, self.artifact.path
        lengths = Lengths.of(load_prepared_inputs(data, role, self.task, source, self.seed) for role in data.splits)
        batches = (*self.benchmark.batch, self.benchmark.stream.batch)
        inputs = self.runtime.input_names
        of_data = derive_profiles(self.task, self.processor, inputs, lengths, batches)
        shapes = [{name: cell.inputs[name].shape for name in inputs} for cell in self.cells]
        needed = covering(of_data, shapes)
        if not self.config.profiles:
            return needed
        check_profiles(self.config.profiles, needed, lengths)
        return self.config.profiles

    def _lint(self, profiles: Profiles) -> None:
        errors = [each for each in lint_onnx(self.artifact.path, "tensorrt", profiles) if each.severity == "error"]
        if errors:
            raise InputError(
                f"TensorRT would not read {self.name}: {_named(errors)}. All places: hfcompress lint "
                f"{self.artifact.path} --target tensorrt"
            )

    def _script(self, model: str, profiles: Profiles) -> str | None:
        target = self.config.target
        if target not in ("jetson", "trtexec"):
            return None
        quantized = self._operators["QuantizeLinear"] > 0
        return build_script(model, profiles, target, self.config.precision, quantized=quantized)

    def _describe(self, artifact: BundledArtifact, model: str, profiles: Profiles, rows: int) -> Bundle:
        benchmark = self.benchmark
        cells = tuple(GridCell(name=str(cell), batch=cell.batch, sequence=cell.sequence) for cell in self.cells)
        versions: dict[str, Any] = describe_host().versions
        return Bundle(
            hfcompress=__version__,
            target=self.config.target,
            runtime=self.config.runtime,
            precision=self.config.precision,
            artifact=artifact,
            model=model,
            engine=ENGINE if self.config.builds_engine else None,
            task=self.task.name,
            metric="accuracy" if self.sampler.is_judged else None,
            decision=self.sampler.decision,
            labels=self.data.labels.names,
            outputs=self.task.outputs,
            split=self.split,
            rows=rows,
            seed=self.seed,
            max_length=self.data.max_length,
            benchmark=BundledBenchmark(
                grid=cells,
                repeats=benchmark.repeats,
                warmup=benchmark.warmup,
                batch=benchmark.stream.batch,
                passes=benchmark.stream.passes,
            ),
            profiles=bundled_profiles(profiles),
            disabled_optimizers=tuple(SLOW_FUSIONS),
            size_operators=tuple(sorted(SIZE_OPERATORS)),
            reference=Reference(
                runtime=self.runtime.name,
                versions={name: versions[name] for name in ("onnxruntime", "openvino", "numpy") if versions.get(name)},
            ),
        )


def _named(errors: Sequence[Finding]) -> str:
    """Each rule with its first place and its cure."""
    rules = {rule: [each for each in errors if each.rule == rule] for rule in dict.fromkeys(e.rule for e in errors)}
    return "; ".join(
        f"{found[0].node}: {found[0].what} ({rule}, {len(found)} places: {found[0].cure})"
        for rule, found in rules.items()
    )
