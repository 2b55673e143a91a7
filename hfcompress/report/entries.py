"""What a table has a row for and a plot a point: each artifact on the run's own host, and on every other one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hfcompress.report.figures import points
from hfcompress.results import ArtifactResult, Difference, Interval, Measurement, Results, Speed

#: What makers write into a CPU's name and nobody says.
_NOISE = re.compile(
    r"\((R|TM)\)|\bCPU\b|@.*|\b\d+-Core\b|\bProcessor\b|\bEngineering Reference\b|\bDeveloper Kit\b", re.I
)


@dataclass(frozen=True)
class Entry:
    """An artifact on one host.

    Attributes:
        name: the artifact's, with ` @ ` and the machine where that is another one than the run's.
        artifact: the artifact.
        there: what its bundle measured on another machine; None: these are the figures of the run.
    """

    name: str
    artifact: ArtifactResult
    there: Measurement | None = None

    @property
    def speed(self) -> Speed:
        """Its figures of speed."""
        return self.artifact if self.there is None else self.there

    def metric(self, name: str) -> Interval | None:
        """A metric: on `report_on`, or on the sample of the bundle."""
        return (self.artifact.metrics if self.there is None else self.there.metrics).get(name)

    def difference(self, name: str) -> Difference | None:
        """To the reference of the artifact, or of what another machine answers to what the artifact answers here."""
        return (self.artifact.difference if self.there is None else self.there.difference).get(name)

    def placed(self, name: str) -> Interval | None:
        """Where a plot has it: the metric on `report_on`, moved by what another machine changed on the sample.

        The metric of a sample of other rows does not compare with that of a whole split; a paired difference does.
        """
        found = self.artifact.metrics.get(name)
        moved = self.there.difference.get(name) if self.there is not None else None
        if found is None or moved is None:
            return found
        bounds = {end: getattr(found, end) + getattr(moved, end) for end in ("value", "low", "high")}
        return found.model_copy(update=bounds)

    def agreement(self) -> str:
        """How many of its answers are those that travelled along: `98.4% of 256`; nothing where nobody said."""
        found = self.there.agreement if self.there is not None else None
        return "" if found is None else f"{points(found.share)}% of {found.decisions:,}"


def entries(results: Results) -> list[Entry]:
    """Every artifact, with what other machines measured of it right below it."""
    hosts = machine_names(results)
    return [
        entry
        for artifact in results.artifacts
        for entry in (Entry(artifact.name, artifact), *_elsewhere(artifact, hosts))
    ]


def machine_names(results: Results) -> dict[str, str]:
    """Id -> a few words for a host: its board, GPU or CPU, and power mode; with the id where two have the same."""
    words = {identity: _words(host) or identity for identity, host in results.hosts.items()}
    others = {m.host for artifact in results.artifacts for m in artifact.measurements}
    counts = [words[identity] for identity in words if identity in others]
    return {
        identity: f"{text} ({identity[:4]})" if counts.count(text) > 1 else text for identity, text in words.items()
    }


def _words(host: Mapping[str, Any]) -> str:
    said = host.get("board") or ", ".join(map(str, host.get("gpus") or ())) or host.get("cpu") or ""
    return " ".join(f"{_NOISE.sub(' ', str(said))} {host.get('power_mode') or ''}".split())


def _elsewhere(artifact: ArtifactResult, hosts: Mapping[str, str]) -> list[Entry]:
    """Each under the shortest name that no other has: its machine; runtime and precision; the device; its threads."""
    found = artifact.measurements
    machines = [hosts.get(each.host, each.host) for each in found]
    runtimes = [f"{machine}, {_how(each, device=False)}" for machine, each in zip(machines, found, strict=True)]
    devices = [f"{machine}, {_how(each, device=True)}" for machine, each in zip(machines, found, strict=True)]
    threads = [f"{device}, {each.threads} threads" for device, each in zip(devices, found, strict=True)]
    names = zip(_unshared(machines), _unshared(runtimes), _unshared(devices), threads, strict=True)
    called = [machine or runtime or device or with_threads for machine, runtime, device, with_threads in names]
    return [Entry(f"{artifact.name} @ {name}", artifact, each) for name, each in zip(called, found, strict=True)]


def _unshared(names: list[str]) -> list[str | None]:
    return [name if names.count(name) == 1 else None for name in names]


def _how(measurement: Measurement, *, device: bool) -> str:
    runtime = measurement.runtime if device else measurement.runtime.partition(":")[0]
    return " ".join(filter(None, (runtime, measurement.precision)))
