"""The gates as a table in human units, and what a failed one means for an artifact."""

from __future__ import annotations

from collections.abc import Iterator

from hfcompress.report.figures import told_apart
from hfcompress.report.grid import Cell, Table, numbers, words
from hfcompress.results import NOT_SLOWER, ArtifactResult, GateResult, Results

#: kind -> factor from the file's unit, decimals, unit, and which side of the bound is good.
_UNITS: dict[str, tuple[float, int, str, str]] = {
    "max_drop": (100, 1, " points", "at most"),
    "max_rise": (1, 3, "", "at most"),
    "min_speedup": (1, 2, "x", "at least"),
    "not_slower": (1, 2, "x", "at least"),
    "max_p50_ms": (1, 1, " ms", "at most"),
    "max_p99_ms": (1, 1, " ms", "at most"),
    "max_size_mb": (1, 1, " MB", "at most"),
    "max_size_ratio": (1, 2, "x", "at most"),
}


def gates_table(results: Results) -> Table:
    """Every gate: what it bounds, the bound, what was measured, and the verdict."""
    return Table(
        title=summary(results),
        columns=(*words("gate", "artifact"), *numbers("value", "bound"), *words("verdict")),
        rows=tuple(_row(results, gate) for gate in results.gates),
    )


def summary(results: Results) -> str:
    """One line: `All 3 gates passed`, `1 of 3 gates FAILED`."""
    total, failed = len(results.gates), sum(not gate.passed for gate in results.gates)
    if not total:
        return "No gates"
    if failed:
        return f"{failed} of {total} gates FAILED" if total > 1 else "The gate FAILED"
    return f"All {total} gates passed" if total > 1 else "The gate passed"


def in_units(gate: GateResult) -> tuple[str, str]:
    """Value and bound as people read them: `0.9 points`, `at most 3.0 points`."""
    factor, decimals, unit, side = _UNITS.get(gate.kind, (1.0, 3, "", "bound"))
    value, bound = told_apart(factor * gate.value, factor * gate.bound, decimals)
    return f"{value}{unit}", f"{side} {bound}{unit}"


def verdict_of(results: Results, artifact: ArtifactResult) -> Cell:
    """What the gates say of one artifact, its ancestors' gates included."""
    own = [gate.passed for gate in results.gates if gate.artifact == artifact.name]
    if not all(own):
        return Cell("FAILED", tone="bad")
    if not artifact.publishable:
        return Cell("unpublishable", tone="bad")
    return Cell("passed", tone="good") if own else Cell()


def failures(results: Results) -> Iterator[str]:
    """Why artifacts must not be published: their own gate's figures, or an ancestor's."""
    for artifact in results.artifacts:
        own = [gate for gate in results.gates if gate.artifact == artifact.name and not gate.passed]
        for gate in own:
            value, bound = in_units(gate)
            said = f"{artifact.name} must not be published: {gate.name} is {value}, the gate says {bound}"
            yield said + _way_out(results, artifact, gate)
        if not own and not artifact.publishable:
            yield f"{artifact.name} must not be published: it is made from {_failed_ancestor(results, artifact)}"


def _way_out(results: Results, artifact: ArtifactResult, gate: GateResult) -> str:
    """For INT8 that is slower than its source: the command that says why, to be typed in the run folder."""
    if gate.kind != "not_slower":
        return ""
    source = gate.name.removeprefix(NOT_SLOWER)
    graphs = {other.name: other.path or other.name for other in results.artifacts if _is_explained(other)}
    if not {source, artifact.name} <= set(graphs):  # what `qat` trained may have no fp32 export beside it
        return ""
    return f"; `hfcompress explain {graphs[artifact.name]} --against {graphs[source]}` says why"


def _is_explained(artifact: ArtifactResult) -> bool:
    return artifact.format == "onnx" and not artifact.runtime.startswith("openvino")


def _failed_ancestor(results: Results, artifact: ArtifactResult) -> str:
    failed = [gate.artifact for gate in results.gates if not gate.passed]
    ancestors = _ancestors(results, artifact)
    named = [name for name in dict.fromkeys(failed) if name in ancestors]
    return f"{' and '.join(named)}, whose gate failed" if named else "an artifact whose gate failed"


def _ancestors(results: Results, artifact: ArtifactResult) -> set[str]:
    parents = {other.name: other.parents for other in results.artifacts}
    found: set[str] = set()
    waiting = list(artifact.parents)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += parents.get(name, ())
    return found


def _row(results: Results, gate: GateResult) -> tuple[Cell, ...]:
    value, bound = in_units(gate)
    verdict = Cell("passed", tone="good") if gate.passed else Cell("FAILED", tone="bad")
    return Cell(gate.name, _read_on(results, gate)), Cell(gate.artifact), Cell(value), Cell(bound), verdict


def _read_on(results: Results, gate: GateResult) -> str:
    """Where the figure comes from: a metric from a split, a speed from this host."""
    words = ["95% bound"] if gate.confident else []
    if gate.kind in ("max_drop", "max_rise"):
        judged = [artifact for artifact in results.artifacts if artifact.name == gate.artifact]
        splits = {interval.split for artifact in judged for interval in artifact.validation.values()}
        words = [*sorted(splits), *words]
    return f"({', '.join(words)})" if words else ""
