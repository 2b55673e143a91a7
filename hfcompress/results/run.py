"""The whole file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hfcompress.errors import InputError
from hfcompress.results.artifact import ArtifactResult
from hfcompress.results.gates import GateResult
from hfcompress.results.records import Record
from hfcompress.results.sources import DataSource, SourceModel


class StageSeconds(Record):
    """Wall seconds of one stage; 0 where it was taken from the run folder."""

    run: float = 0.0
    measure: float = 0.0


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
