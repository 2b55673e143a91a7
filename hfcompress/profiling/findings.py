"""Everything that costs time in an INT8 graph, the dearest first."""

from __future__ import annotations

from hfcompress.profiling.asked import Asked
from hfcompress.profiling.costs import grouped
from hfcompress.profiling.explanation import Finding
from hfcompress.profiling.slower import between_products, slower_layers
from hfcompress.profiling.stayed_float import stayed_float
from hfcompress.profiling.times import Profiled


def find(int8: Profiled, fp32: Profiled, asked: Asked) -> tuple[Finding, ...]:
    """Every finding, the dearest first.

    Args:
        int8, fp32: both models, profiled on the same batches in turns.
        asked: what the quantizer was asked to do.
    """
    stayed = list(stayed_float(int8, fp32, asked))
    unfused = {cost.layer for cost in stayed if cost.reason == "unfused"}  # whose time is told there
    slower = [cost for cost in slower_layers(int8, fp32) if cost.layer not in unfused]
    findings = [*grouped([*stayed, *slower]), *between_products(int8, fp32)]
    return tuple(sorted(findings, key=lambda finding: -finding.lost_ms))
