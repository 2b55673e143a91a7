"""The `data`, `evaluate` and `benchmark` blocks of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from hfcompress.recipe.schema import Schema
from hfcompress.recipe.tasks import Metric

Split = Literal["train", "validation", "test"]


def _same_names() -> dict[Split, str]:
    return {split: split for split in get_args(Split)}


class SourceConfig(Schema):
    """Where rows come from.

    Attributes:
        path: a Hub id, a local csv, json or parquet file, a folder of such files named after their splits, or a
            dataset written by `save_to_disk`.
        subset: the configuration of a Hub dataset (`sst2` of `nyu-mll/glue`).
        revision: pins a Hub dataset.
        columns: role to column name; a role left out is its own column name.
    """

    path: str = Field(min_length=1)
    subset: str | None = None
    revision: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)


class UnlabeledConfig(SourceConfig):
    """Rows without labels, which stages that distil read after the training split: the teacher's answers are enough.

    Attributes:
        split: the dataset's own name of the split.
        limit: most rows taken of it, chosen by the recipe's seed.
    """

    split: str = "train"
    limit: PositiveInt | None = None


class DataConfig(SourceConfig):
    """The rows of a run, and how they are read.

    The roles of `columns` depend on the task: `text`, `text_pair`, `label`, `image`, and others.

    Attributes:
        splits: role to the dataset's own split name. `train` is needed by training stages only.
        limit: most rows taken of a split, chosen by the recipe's seed.
        max_length: tokens after which text is cut.
        unlabeled: further rows for stages that learn from a teacher.
    """

    splits: dict[Split, str] = Field(default_factory=_same_names, min_length=1)
    limit: dict[Split, PositiveInt] = Field(default_factory=dict)
    max_length: PositiveInt = 128
    unlabeled: UnlabeledConfig | None = None


class EvaluateConfig(Schema):
    """What is scored, and on which rows.

    Attributes:
        metrics: the first one is the one of tables and plots; default: the task's own.
        gates_on: the split that gates and searches read.
        report_on: the split of the final figures; read once, at the end.
    """

    metrics: tuple[Metric, ...] = ()
    gates_on: Split = "validation"
    report_on: Split = "test"


class StreamConfig(Schema):
    """Throughput on the data's own lengths: rows sorted by length, padded to the longest of their batch.

    Attributes:
        batch: rows of one batch.
        rows: rows of the stream, taken from `gates_on` by the recipe's seed.
        passes: how often each artifact runs the stream, in turn with the others.
    """

    batch: PositiveInt = 32
    rows: PositiveInt = 512
    passes: Annotated[int, Field(ge=3)] = 7


class BenchmarkConfig(Schema):
    """The grid of latencies, and the stream.

    Attributes:
        batch: batch sizes of the latency grid.
        sequence: sequence lengths of the grid, in tokens; not used for images.
        threads: cores that a runtime may use; default: all that this process may use.
        repeats: timed calls of a cell for each artifact, interleaved with the other artifacts.
        warmup: calls before them that do not count.
        stream: throughput on the data's own lengths.
    """

    batch: tuple[PositiveInt, ...] = Field(default=(1, 32), min_length=1)
    sequence: tuple[PositiveInt, ...] = Field(default=(16, 64), min_length=1)
    threads: PositiveInt | None = None
    repeats: Annotated[int, Field(ge=5)] = 30
    warmup: PositiveInt = 3
    stream: StreamConfig = StreamConfig()


class Gate(Schema):
    """Bounds that an artifact must meet; one that fails marks it, and all that is made from it, unpublishable.

    Attributes:
        artifact: the artifact that is judged.
        against: what it is compared with; default: the recipe's baseline.
        max_drop: metric to the most that may be lost, as a fraction.
        max_rise: metric of which less is better (`mse`, `perplexity`) to the most that it may rise, in its own unit.
        min_speedup: throughput on the stream over that of `against`.
        max_p50_ms, max_p99_ms: latency bounds, judged on the slowest cell that `batch` and `sequence` select.
        max_size_mb: bytes of weights and graph / 10^6.
        max_size_ratio: size over that of `against`.
        batch, sequence: the row and column of the grid that latency bounds are judged on; default: all of them.
        confident: judge on the worse bound of the 95% interval in place of the point estimate.
    """

    artifact: str
    against: str | None = None
    max_drop: dict[Metric, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    max_rise: dict[Metric, NonNegativeFloat] = Field(default_factory=dict)
    min_speedup: Annotated[float, Field(gt=0)] | None = None
    max_p50_ms: Annotated[float, Field(gt=0)] | None = None
    max_p99_ms: Annotated[float, Field(gt=0)] | None = None
    max_size_mb: Annotated[float, Field(gt=0)] | None = None
    max_size_ratio: Annotated[float, Field(gt=0)] | None = None
    batch: PositiveInt | None = None
    sequence: PositiveInt | None = None
    confident: bool = False

    @model_validator(mode="after")
    def _holds_a_bound(self) -> Gate:
        bounds = (self.min_speedup, self.max_p50_ms, self.max_p99_ms, self.max_size_mb, self.max_size_ratio)
        if not self.max_drop and not self.max_rise and all(bound is None for bound in bounds):
            raise ValueError(
                "a gate needs a bound: max_drop, max_rise, min_speedup, max_p50_ms, max_p99_ms, max_size_mb or "
                "max_size_ratio"
            )
        return self
