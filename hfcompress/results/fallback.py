"""Which layers of an INT8 graph were returned to floating point, and why."""

from __future__ import annotations

from pydantic import Field

from hfcompress.results.records import Difference, Interval, Record


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
