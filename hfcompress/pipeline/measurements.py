"""What bundles measured on other machines, in the results of the run that they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hfcompress.artifact import sha256_of
from hfcompress.benchmark.statistics import mean_interval
from hfcompress.benchmark.summary import speed_of
from hfcompress.benchmark.timings import Timings
from hfcompress.bundle.measurement import MeasuredAccuracy, MeasurementFile, read_measurement
from hfcompress.errors import InputError
from hfcompress.results import Agreement, ArtifactResult, Difference, Interval, Measurement, Results, read_results

#: What may change on a machine without making it another one.
_CHANGING = ("os", "python")


def add_measurements(results: Results, paths: Sequence[Path]) -> Results:
    """The results with what `measure.py` of bundles wrote; one of the same host, runtime and precision is replaced.

    Raises:
        InputError: a file is damaged, or is of an artifact that the run does not hold; the results are as they were.
    """
    for path in paths:
        results = _with(results, read_measurement(path), str(path))
    return results


def keep_measurements(results: Results, before: Path) -> Results:
    """New results with the measurements of an earlier results.json whose artifacts are still the same."""
    try:
        old = read_results(before)
    except InputError:  # none yet, or of another schema: there is nothing to keep
        return results
    known = {(artifact.name, artifact.digest): artifact.measurements for artifact in old.artifacts}
    artifacts = tuple(
        artifact.model_copy(update={"measurements": known.get((artifact.name, artifact.digest), ())})
        for artifact in results.artifacts
    )
    used = {measurement.host for artifact in artifacts for measurement in artifact.measurements}
    hosts = {identity: host for identity, host in old.hosts.items() if identity in used}
    return results.model_copy(update={"artifacts": artifacts, "hosts": {**hosts, **results.hosts}})


def _with(results: Results, found: MeasurementFile, origin: str) -> Results:
    measured = _artifact_of(results, found, origin)
    host = found.host.described()
    identity = sha256_of({name: value for name, value in host.items() if name not in _CHANGING})[:12]
    measurement = _measurement(found, measured, identity, results.seed or 0)

    def key(other: Measurement) -> tuple[str, str, str | None, int | None]:
        return other.host, other.runtime, other.precision, other.threads

    kept = [other for other in measured.measurements if key(other) != key(measurement)]
    changed = measured.model_copy(update={"measurements": (*kept, measurement)})
    artifacts = tuple(changed if artifact is measured else artifact for artifact in results.artifacts)
    versions = {**_versions(results.hosts.get(identity, {})), **found.runtime.versions}
    hosts = {**results.hosts, identity: {**host, "versions": versions}}
    return results.model_copy(update={"artifacts": artifacts, "hosts": hosts})


def _versions(host: Mapping[str, Any]) -> Mapping[str, Any]:
    known: Mapping[str, Any] = host.get("versions") or {}
    return known


def _artifact_of(results: Results, found: MeasurementFile, origin: str) -> ArtifactResult:
    for artifact in results.artifacts:
        if artifact.digest == found.artifact.digest:
            return artifact
    held = ", ".join(f"{artifact.name} ({artifact.digest[:12]})" for artifact in results.artifacts)
    raise InputError(
        f"{origin} is of the artifact {found.artifact.name} ({found.artifact.digest[:12]}), which this run does not "
        f"hold: it has {held}. Add it to the run that its bundle was made of, or bundle the artifact of this run again"
    )


def _measurement(found: MeasurementFile, artifact: ArtifactResult, host: str, seed: int) -> Measurement:
    cells = {(cell.batch, cell.sequence): list(cell.seconds) for cell in found.latency}
    timings = Timings(
        latency_s=cells,
        stream_s=list(found.throughput.seconds),
        stream_rows=found.throughput.rows,
        peak_memory_mb=found.peak_memory_mb,
        runtime=found.runtime.name,
        threads=found.runtime.threads,
    )
    metrics, difference = _accuracy(found.accuracy, found.split, artifact.name, seed)
    return Measurement(
        **speed_of(timings, None, host, seed).model_dump(),
        metrics=metrics,
        difference=difference,
        agreement=Agreement(**found.agreement.model_dump()),
        rows=found.throughput.rows,
        precision=found.precision,
    )


def _accuracy(
    counted: MeasuredAccuracy | None, split: str, name: str, seed: int
) -> tuple[dict[str, Interval], dict[str, Difference]]:
    """Intervals from counts: a bootstrap over rows does not ask which rows were right."""
    if counted is None:
        return {}, {}
    rows, correct, won, lost = counted.rows, counted.correct, counted.won, counted.lost
    value, low, high = mean_interval({1: correct, 0: rows - correct}, seed)
    moved, least, most = mean_interval({1: won, -1: lost, 0: rows - won - lost}, seed)
    return (
        {"accuracy": Interval(value=value, low=low, high=high, split=split)},
        {"accuracy": Difference(value=moved, low=least, high=most, split=split, against=name)},
    )
