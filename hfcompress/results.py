"""`results.json`: what a run measured, as a public, versioned format.

The field docstrings are the format's documentation; `docs/results.md` is for readers who do not read Python. A reader
of schema 1 may ignore keys that it does not know: later versions of schema 1 only add keys.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hfcompress.errors import InputError

SCHEMA = "hfcompress.results/1"


class Record(BaseModel):
    """Frozen; unknown keys are ignored, so that an older reader opens a newer file."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Interval(Record):
    """A value with its 95% interval. Fractions, not points.

    Attributes:
        value: the point estimate.
        low, high: bounds of the percentile bootstrap.
        split: the role of the split it was read on.
    """

    value: float
    low: float
    high: float
    split: str


class Difference(Interval):
    """Paired difference `value = this artifact - against`, with its 95% interval, on the same rows."""

    against: str


class Latency(Record):
    """One cell of the latency grid, in milliseconds of one call. `sequence` is null for images."""

    batch: int
    sequence: int | None
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float


class Speed(Record):
    """What one host measured of one artifact.

    Attributes:
        host: a key of `hosts`.
        runtime: `torch` or `onnxruntime`, with the provider: `onnxruntime:CPUExecutionProvider`.
        threads: cores that the runtime used.
        reliable: False when the spread of the repeats was too large to trust a figure; `remarks` says which.
        latency: the grid.
        throughput_per_s: rows a second on the data's own lengths (median over the passes).
        speedup: throughput over the baseline's, same host and threads (median of the ratios, pass by pass).
        speedup_low, speedup_high: its 95% interval.
        peak_memory_mb: peak resident memory of a fresh process that loads the artifact and runs the stream, 10^6 bytes.
        remarks: what a reader should know before trusting the figures.
    """

    host: str
    runtime: str
    threads: int
    reliable: bool
    latency: tuple[Latency, ...] = ()
    throughput_per_s: float
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    peak_memory_mb: float | None = None
    remarks: tuple[str, ...] = ()


class RankedLayer(Record):
    """What one layer costs in INT8.

    Attributes:
        layer: the name of its node in the source's graph.
        output_error: squared error of its own output over the output squared, on the inputs that it has in the source.
        cost: the same of the model's outputs when this layer alone is quantized; null when that was not measured.
        difference: metric -> what this layer alone changes, paired, on the ranking's rows; empty without `cost`.
    """

    layer: str
    output_error: float
    cost: float | None = None
    difference: dict[str, Difference] = Field(default_factory=dict)


class FallbackStep(Record):
    """INT8 with some layers returned to floating point.

    Attributes:
        returned: these layers.
        metrics: on `gates_on`.
        difference: metric -> paired difference to the source, on `gates_on`.
        speedup: throughput over the source's, same host and threads (median of the ratios, pass by pass).
    """

    returned: tuple[str, ...]
    metrics: dict[str, Interval]
    difference: dict[str, Difference]
    speedup: float | None = None


class FallbackResult(Record):
    """The search for layers that have to stay in floating point.

    Attributes:
        max_drop: metric -> what may be lost against the source.
        steps: in order; the first one has nothing returned, the last one is the artifact.
        ranking: every quantized layer, costliest first; empty when nothing had to be returned.
        rows: rows that the ranking was made on; at most.
    """

    max_drop: dict[str, float]
    steps: tuple[FallbackStep, ...]
    ranking: tuple[RankedLayer, ...] = ()
    rows: int

    @property
    def returned(self) -> tuple[str, ...]:
        """The layers of the artifact that are in floating point."""
        return self.steps[-1].returned


class ClassResult(Record):
    """How one class fares.

    Attributes:
        label: the class's name.
        rows: items of this class: rows, or words where each has a tag.
        recall: the share of them that the artifact answers with this class.
        reference_recall: the same of the reference of `flips`; null without one.
        won, lost: decisions about the class that are right where the reference's are wrong, and the reverse. With one
            class an item these are its items; of several classes a row every row decides about every class.
    """

    label: str
    rows: int
    recall: float
    reference_recall: float | None = None
    won: int = 0
    lost: int = 0


class Flips(Record):
    """Answers that are others than the reference's, on the same rows.

    Attributes:
        against: the reference.
        split: the role of the split that was read.
        answers: all decisions that were compared: rows, words, masked tokens, or rows times classes.
        changed: those that differ.
        won, lost: right where the reference was wrong, and the reverse; the others were wrong before and after.
    """

    against: str
    split: str
    answers: int
    changed: int
    won: int
    lost: int


class ArtifactResult(Speed):
    """Everything known about one artifact.

    Attributes:
        name: the stage's name, or `source`.
        stage: the verb that made it; null for `source`.
        format: `torch` or `onnx`.
        path: relative to the run folder; null for `source`.
        digest: sha256 over the paths and sha256 of its files.
        size_mb: 10^6 bytes of weights and graph.
        parameters: number of parameters of the model, also after quantization.
        integer_operators: operators of the graph that multiply integers; null for torch.
        metrics: on `report_on`.
        validation: on `gates_on`.
        difference: paired, against the gate's reference or the baseline, on `report_on`.
        validation_difference: likewise on `gates_on`.
        parents: the artifacts that it was made from, teachers included; empty when nobody said.
        publishable: whether every gate of it and of its ancestors passed; False when nobody said.
        measurements: the same figures for further hosts.
        fallback: how its layers were returned to floating point; null where none were to be.
        flips: how its answers differ from the reference of `difference`, on `report_on`; null where no answer is right
            or wrong by itself, and for the baseline.
        classes: every class that `report_on` holds, for tasks with classes.
    """

    name: str
    stage: str | None
    format: str
    path: str | None
    digest: str
    size_mb: float
    parameters: int
    integer_operators: int | None = None
    metrics: dict[str, Interval] = Field(default_factory=dict)
    validation: dict[str, Interval] = Field(default_factory=dict)
    difference: dict[str, Difference] = Field(default_factory=dict)
    validation_difference: dict[str, Difference] = Field(default_factory=dict)
    parents: tuple[str, ...] = ()
    publishable: bool = False
    measurements: tuple[Speed, ...] = ()
    fallback: FallbackResult | None = None
    flips: Flips | None = None
    classes: tuple[ClassResult, ...] = ()


#: The start of the name of a `not_slower` gate; the artifact that it is against follows.
NOT_SLOWER = "not slower than "


class GateResult(Record):
    """One bound, what was measured, and the verdict.

    Attributes:
        name: what is bound, for people: "accuracy drop against teacher".
        artifact: what was judged.
        kind: `max_drop`, `min_speedup`, `max_p50_ms`, `max_p99_ms`, `max_size_mb`, `max_size_ratio` or `not_slower`.
        bound, value: in the unit of the kind; fractions for metrics.
        confident: judged on the interval's worse bound.
        passed: the verdict.
    """

    name: str
    artifact: str
    kind: str
    bound: float
    value: float
    confident: bool = False
    passed: bool


class StageSeconds(Record):
    """Wall seconds of one stage; 0 where it was taken from the run folder."""

    run: float = 0.0
    measure: float = 0.0


class SourceModel(Record):
    """A model that the recipe takes and no stage makes, and what its own card says of it.

    Attributes:
        name: `source`, or what the recipe calls a teacher or a student's checkpoint.
        id: a Hub id, or the name of a local folder.
        local: whether it was a folder.
        revision: the commit on the Hub; null for a folder, or when it is not known.
        digest: sha256 over the paths and sha256 of its files.
        license: as the front matter of its README.md names it; null: unknown.
        license_name, license_link: what goes with the license `other`.
        languages: codes, from the same place.
        base_models: what that card names as its own base.
    """

    name: str
    id: str
    local: bool
    revision: str | None = None
    digest: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    languages: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()


class SplitData(Record):
    """The rows of one split, after the recipe's cap.

    Attributes:
        name: the dataset's own name of the split.
        rows: how many.
        digest: sha256 over the columns and rows.
    """

    name: str
    rows: int
    digest: str


class DataSource(Record):
    """Where the rows of a run came from.

    Attributes:
        path: a Hub id, or the name or relative path of local files.
        local: whether it was on this machine.
        subset, revision: of a Hub dataset; null: its default.
        max_length: tokens after which text was cut.
        splits: role, or `unlabeled` -> its rows.
    """

    path: str
    local: bool
    subset: str | None = None
    revision: str | None = None
    max_length: int
    splits: dict[str, SplitData] = Field(default_factory=dict)


class Results(Record):
    """The whole file.

    Attributes:
        schema_: the format's name and version.
        recipe: the recipe's name.
        task: the recipe's task.
        metric: the main metric.
        hosts: id -> description (CPU model, flags, cores, library versions); no host name, user or absolute path.
        baseline: the artifact that speed-ups are measured against.
        artifacts: in the order of the recipe, `source` first when it was measured.
        gates: the verdicts.
        seconds: stage -> seconds of this run; `benchmark` is the timing session, `report` tables and plot.
        models: what the recipe takes and no stage makes, `source` first; empty without a recipe.
        data: the rows that were read; null for models that were measured without a recipe.
        seed: of everything that drew.
        recipe_sha256: of the canonical text of the recipe without `publish`; null without a recipe.
        hfcompress: the version that ran.
    """

    schema_: Literal["hfcompress.results/1"] = Field(default="hfcompress.results/1", alias="schema")
    recipe: str
    task: str
    metric: str
    hosts: dict[str, dict[str, Any]]
    baseline: str
    artifacts: tuple[ArtifactResult, ...]
    gates: tuple[GateResult, ...] = ()
    seconds: dict[str, StageSeconds] = Field(default_factory=dict)
    models: tuple[SourceModel, ...] = ()
    data: DataSource | None = None
    seed: int | None = None
    recipe_sha256: str | None = None
    hfcompress: str | None = None

    def artifact(self, name: str) -> ArtifactResult:
        """The result of one artifact by name."""
        for artifact in self.artifacts:
            if artifact.name == name:
                return artifact
        raise InputError(
            f"the results hold no artifact `{name}`; they hold {', '.join(a.name for a in self.artifacts)}"
        )

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)


def write_results(results: Results, path: Path) -> None:
    """Write `results.json`, whole or not at all."""
    text = json.dumps(results.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False, allow_nan=False)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_results(path: Path) -> Results:
    """Read `results.json`.

    Raises:
        InputError: the file is missing, is no JSON, or is of another schema.
    """
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; run the recipe first: hfcompress run RECIPE") from error
    except ValueError as error:
        raise InputError(f"{path} is not a results file of schema {SCHEMA}: {error}") from error
