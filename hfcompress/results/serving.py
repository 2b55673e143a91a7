"""`serving/<artifact>-<host>.json`: what runs an artifact best on one host, as a public, versioned format.

Like `results.json`: a reader of schema 1 may ignore keys that it does not know; later versions of schema 1 only add.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PositiveInt, ValidationError

from hfcompress.errors import InputError, UnsafeError
from hfcompress.intake.json_text import read_mapping
from hfcompress.results.records import Record

Schema = Literal["hfcompress.serving/1"]
(SCHEMA,) = get_args(Schema)
#: The folder of serving files, in a run and in a published repository.
FOLDER = "serving"

Goal = Literal["latency", "throughput"]
#: Cores, and rows of a batch: no host and no search has more.
Count = Annotated[int, Field(ge=1, le=4096)]


class ServedBatches(Record):
    """How rows become batches; the fields of `hfcompress.runtimes.batching.Batching`."""

    rows: Count
    tokens: Annotated[int, Field(ge=1, le=1 << 24)] | None
    sort: bool


class ServedSettings(Record):
    """What runs the artifact; the fields of `hfcompress.runtimes.settings.Settings`."""

    runtime: str
    threads: Count
    streams: Count
    precision: Literal["fp32", "bf16", "fp16"] | None


class Tried(Record):
    """One combination, as the search saw it.

    Attributes:
        goal: what it was tried for.
        settings, batching: the combination.
        passes: over the stream.
        throughput_per_s: rows a second; median over the passes.
        p50_ms, p99_ms: of the calls of all passes.
    """

    goal: Goal
    settings: ServedSettings
    batching: ServedBatches
    passes: PositiveInt
    throughput_per_s: float
    p50_ms: float
    p99_ms: float


class Chosen(Tried):
    """The combination that won, measured again in turns with the default session.

    Attributes:
        speedup: throughput over the default session's: of batches of 32 in the order of arrival for the goal
            `throughput`, of single rows for `latency`. Median of the ratios, pass by pass. A little high: the winner
            is the fastest of the finalists in these very passes. `scripts/bench_tune.py` times it again.
        speedup_low, speedup_high: its 95% interval, which does not know of that choice.
        default_p50_ms, default_p99_ms: of the calls of the default session.
        remarks: what a reader should know before trusting the figures.
    """

    speedup: float
    speedup_low: float
    speedup_high: float
    default_p50_ms: float
    default_p99_ms: float
    remarks: tuple[str, ...] = ()


class LeftOut(Record):
    """What could not be tried, and why."""

    what: str
    reason: str


class Serving(Record):
    """What runs one artifact best on one host.

    Attributes:
        artifact: its name.
        digest: of all its files, as in `results.json`.
        model_digest: of weights and graph alone, whatever they are called: a published repository renames them.
        task, format: as its manifest has them.
        host: id of the host: a digest of its description.
        description: CPU, cores, memory, library versions; no name, user or path.
        cores: that all streams together were allowed to use.
        rows: of the stream.
        mean_tokens: of a row of it, padding excluded; null for rows without a length.
        exhaustive: whether every combination was measured equally often.
        latency: best for single rows, one call after another.
        throughput: best for many rows.
        tried: every combination that was measured.
        left_out: the others.
    """

    schema_: Schema = Field(default="hfcompress.serving/1", alias="schema", serialization_alias="schema")
    artifact: str
    digest: str
    model_digest: str
    task: str
    format: str
    host: str
    description: dict[str, Any]
    cores: PositiveInt
    rows: PositiveInt
    mean_tokens: float | None
    exhaustive: bool
    latency: Chosen
    throughput: Chosen
    tried: tuple[Tried, ...]
    left_out: tuple[LeftOut, ...] = ()


def serving_text(serving: Serving) -> str:
    """What the file holds."""
    content = serving.model_dump(mode="json", by_alias=True)
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def for_others(serving: Serving) -> Serving:
    """Without what could not be tried: its reasons are words of libraries, which may name folders of this machine."""
    return serving.model_copy(update={"left_out": ()})


def write_serving(serving: Serving, path: Path) -> None:
    """Write the file, whole or not at all; makes its folder.

    Raises:
        InputError: it cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(serving_text(serving), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another place with --out") from error


def read_serving(path: Path) -> Serving:
    """Read the file.

    Raises:
        InputError: it is no JSON, or of another schema.
    """
    try:
        return Serving.model_validate(read_mapping(path))
    except ValidationError as error:
        first = error.errors()[0]
        fault = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    except (UnsafeError, OSError) as error:
        fault = str(error)
    raise InputError(
        f"{path} is not a serving file of schema {SCHEMA}: {fault}; delete it, or run `hfcompress tune` again"
    )
