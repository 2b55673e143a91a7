"""Everything that was measured of one artifact."""

from __future__ import annotations

from pydantic import Field

from hfcompress.results.fallback import FallbackResult
from hfcompress.results.flips import ClassResult, Flips
from hfcompress.results.measurement import Measurement
from hfcompress.results.records import Difference, Interval
from hfcompress.results.speed import Speed


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
        measurements: what bundles measured on further hosts.
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
    measurements: tuple[Measurement, ...] = ()
    fallback: FallbackResult | None = None
    flips: Flips | None = None
    classes: tuple[ClassResult, ...] = ()
