"""`measurement.json`: what `measure.py` found on another machine, checked before anything is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from hfcompress.errors import InputError, UnsafeError
from hfcompress.intake.json_text import read_mapping
from hfcompress.results import Record

SCHEMA = "hfcompress.measurement/1"
#: The most rows that a sample may hold, and the largest of other counts: what is larger was not measured.
MOST_ROWS = 10_000_000
Seconds = Annotated[float, Field(ge=1e-9, le=1e6)]
Megabytes = Annotated[float, Field(gt=0, le=1e9)]
Count = Annotated[int, Field(ge=0, le=MOST_ROWS)]
Positive = Annotated[int, Field(gt=0, le=MOST_ROWS)]
#: Rows, words or single numbers, of which a row has many.
Decisions = Annotated[int, Field(ge=0, le=10**12)]
Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("text should have printable characters alone")
    return text


#: What is shown in a terminal: no control codes, on one line.
Text = Annotated[str, Field(max_length=200), AfterValidator(_printable)]


class MeasuredArtifact(Record):
    """What was measured: see `BundledArtifact`."""

    name: Text
    digest: Text


class MeasuredHost(Record):
    """Models of CPU, GPUs and board, cores, memory and system, as `measure.py` describes them; nothing else is kept."""

    cpu: Text
    architecture: Text = ""
    flags: dict[Text, bool] = Field(default_factory=dict, max_length=100)
    cores: Positive = 1
    memory_gb: Count = 0
    os: Text = ""
    python: Text = ""
    gpus: tuple[Text, ...] = Field(default=(), max_length=100)
    board: Text | None = None
    power_mode: Text | None = None

    def described(self) -> dict[str, Any]:
        """As an entry of `hosts`, without versions of libraries."""
        return self.model_dump(mode="json", exclude_none=True)


class MeasuredRuntime(Record):
    """What ran it: a name as `Runtime.name` has it, cores of one call, and versions of libraries."""

    name: Text
    threads: Positive
    versions: dict[Text, Text] = Field(default_factory=dict, max_length=100)


class MeasuredLatency(Record):
    """Seconds of each call of one size. Percentiles are made of them here, as they are for every artifact."""

    batch: Positive
    sequence: Positive | None
    seconds: tuple[Seconds, ...] = Field(min_length=1)


class MeasuredThroughput(Record):
    """Seconds of each pass over the sample, and its rows."""

    rows: Positive
    seconds: tuple[Seconds, ...] = Field(min_length=1)


class MeasuredAccuracy(Record):
    """Rows answered rightly; `won` are right here and wrong in the reference, `lost` the reverse."""

    rows: Positive
    correct: Count
    won: Count
    lost: Count

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        before = self.correct - self.won + self.lost
        if not (self.won <= self.correct <= self.rows - self.lost and before <= self.rows):
            raise ValueError("the counts of right and wrong rows do not add up")
        return self


class MeasuredAgreement(Record):
    """Decisions that equal the reference's, and how far outputs are from it, in their own unit."""

    decisions: Annotated[Decisions, Field(gt=0)]
    equal: Decisions
    max_difference: Number
    rms_difference: Number
    reference: Text

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.equal > self.decisions:
            raise ValueError(f"{self.equal} of {self.decisions} decisions cannot be equal")
        return self


class MeasurementFile(Record):
    """The whole file.

    Attributes:
        schema_: the format's name and version.
        artifact: what was measured.
        target: what its bundle is for.
        precision: what floating point was computed in; null: as the graph and the runtime have it.
        host: the machine; never its name.
        runtime: what ran it.
        latency: calls of fixed sizes.
        throughput: passes over the sample.
        peak_memory_mb: peak resident memory, 10^6 bytes.
        split: the role of the split that the sample is of.
        accuracy: null where the target is compared with the reference alone.
        agreement: with the answers that travelled along.
    """

    schema_: Literal["hfcompress.measurement/1"] = Field(alias="schema")
    artifact: MeasuredArtifact
    target: Text
    precision: Text | None
    host: MeasuredHost
    runtime: MeasuredRuntime
    latency: tuple[MeasuredLatency, ...]
    throughput: MeasuredThroughput
    peak_memory_mb: Megabytes
    split: Text
    accuracy: MeasuredAccuracy | None
    agreement: MeasuredAgreement

    @model_validator(mode="after")
    def _is_of_one_sample(self) -> Self:
        if self.accuracy is not None and self.accuracy.rows != self.throughput.rows:
            raise ValueError(f"accuracy is of {self.accuracy.rows} rows and throughput of {self.throughput.rows}")
        return self


def read_measurement(path: Path) -> MeasurementFile:
    """Read what a bundle's `measure.py` wrote.

    Raises:
        InputError: there is no such file, it is damaged, or of another schema; names the field.
    """
    try:
        return MeasurementFile.model_validate(read_mapping(path))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path} does not exist; give the measurement.json that a bundle's measure.py wrote") from None
    except UnsafeError as error:
        raise InputError(f"{error}; copy it from the machine that measured again") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = _shown(".".join(map(str, first["loc"]))) or "the file"
        value = first["input"]
        said = "" if isinstance(value, (dict, list)) else f", got {_shown(repr(value))}"
        raise InputError(
            f"{path} is no measurement of schema {SCHEMA}: {where}: {first['msg']}{said}; copy it again, or measure "
            "again"
        ) from None


def _shown(text: str) -> str:
    """What a stranger's file holds, as a terminal may have it: its keys and values are not checked yet."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:100])
