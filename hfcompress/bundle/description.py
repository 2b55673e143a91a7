"""`bundle.json`: what a bundle is, and what `measure.py` has to know. No path, user or name of a machine is in it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hfcompress.bundle.config import Target
from hfcompress.onnx_graph.profiles import Profile, Profiles
from hfcompress.results import Record
from hfcompress.runtimes.settings import Precision

#: class - the largest output; classes - every output above 0; number - equal within 1% of their range.
Decision = Literal["class", "classes", "number"]


class BundledArtifact(Record):
    """What is bundled.

    Attributes:
        name: of the stage that made it, or of its folder.
        digest: sha256 over the paths and sha256 of its files: that of `results.json`.
        format: `onnx` or `openvino`.
    """

    name: str
    digest: str
    format: str


class BundledProfile(Record):
    """The sizes of one input that the engine is built for."""

    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


class GridCell(Record):
    """One size of the latency grid; `name` is that of its batch in grid.npz, `sequence` is null for images."""

    name: str
    batch: int
    sequence: int | None


class BundledBenchmark(Record):
    """How speed is measured, as the recipe says: see its `benchmark`."""

    grid: tuple[GridCell, ...]
    repeats: int
    warmup: int
    batch: int
    passes: int


class Reference(Record):
    """What gave the answers in reference.npz: a runtime as `Runtime.name` has it, and versions of libraries."""

    runtime: str
    versions: dict[str, str]


class Bundle(Record):
    """The whole file.

    Attributes:
        schema_: the format's name and version.
        hfcompress: the version that made it.
        target: what it is for.
        runtime: the Python package that measures: `tensorrt`, `onnxruntime` or `openvino`.
        precision: what floating point is computed in; null: as the graph and the runtime have it.
        artifact: what is bundled.
        model: the model's file.
        engine: the file that build.sh makes; null where nothing is built.
        task: what the model does.
        metric: `accuracy`, or null where the target is compared with the reference alone.
        decision: what of the outputs is compared.
        labels: names of the classes in the order of the outputs; empty where there are none.
        outputs: the outputs that are read.
        split: the role of the split that the sample is of.
        rows: rows of the sample: prepared ones, of which a long text may have several.
        seed: chose them.
        max_length: tokens after which text was cut.
        benchmark: how speed is measured.
        profiles: input -> the sizes that the engine is built for; empty where nothing is built.
        disabled_optimizers: of ONNX Runtime on its CPU provider, as hfcompress runs it.
        size_operators: what ONNX Runtime may compute on the CPU beside CUDA, as hfcompress allows it.
        reference: what gave the answers that travel along.
    """

    schema_: Literal["hfcompress.bundle/1"] = Field(default="hfcompress.bundle/1", alias="schema")
    hfcompress: str
    target: Target
    runtime: Literal["tensorrt", "onnxruntime", "openvino"]
    precision: Precision | None
    artifact: BundledArtifact
    model: str
    engine: str | None
    task: str
    metric: Literal["accuracy"] | None
    decision: Decision
    labels: tuple[str, ...]
    outputs: tuple[str, ...]
    split: str
    rows: int
    seed: int
    max_length: int
    benchmark: BundledBenchmark
    profiles: dict[str, BundledProfile]
    disabled_optimizers: tuple[str, ...]
    size_operators: tuple[str, ...]
    reference: Reference


def bundled_profiles(profiles: Profiles) -> dict[str, BundledProfile]:
    """Profiles as the file has them."""

    def sizes(profile: Profile) -> BundledProfile:
        return BundledProfile(minimum=profile.minimum, optimum=profile.optimum, maximum=profile.maximum)

    return {name: sizes(profile) for name, profile in profiles.items()}
