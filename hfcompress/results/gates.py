"""The verdict on a bound."""

from __future__ import annotations

from hfcompress.results.records import Record

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
