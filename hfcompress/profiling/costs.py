"""What costs time, before it is put into words: costs of single products and layers, and findings of several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hfcompress.profiling.explanation import Finding, Reason
from hfcompress.profiling.words import change, why


@dataclass(frozen=True)
class Cost:
    """One layer, or one product of it, that costs time.

    Attributes:
        reason: see `Reason`.
        subject: what the sentence is about: a kind of operator, or what a pattern lacks.
        layer: where.
        lost_ms: of a pass.
        node: the product, where the cost is that of one.
    """

    reason: Reason
    subject: str
    layer: str
    lost_ms: float
    node: str = ""


def finding_of(costs: Sequence[Cost], lost_ms: float) -> Finding:
    """One finding of costs of one reason and subject."""
    reason, subject = costs[0].reason, costs[0].subject
    ordered = sorted(costs, key=lambda cost: -cost.lost_ms)
    layers = tuple(dict.fromkeys(cost.layer for cost in ordered))
    return Finding(
        reason=reason,
        layers=layers,
        nodes=tuple(cost.node for cost in ordered if cost.node),
        lost_ms=lost_ms,
        why=why(reason, subject),
        change=change(reason, subject, layers),
    )


def grouped(costs: Iterable[Cost]) -> list[Finding]:
    """A finding for each reason and subject, which loses what its costs do together."""
    groups: dict[tuple[Reason, str], list[Cost]] = defaultdict(list)
    for cost in costs:
        groups[cost.reason, cost.subject].append(cost)
    return [finding_of(group, sum(cost.lost_ms for cost in group)) for group in groups.values()]
