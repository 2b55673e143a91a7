"""Gates: bounds of the recipe, judged on what was measured. Pure functions of results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hfcompress.recipe.data import Gate
from hfcompress.recipe.recipe import Recipe
from hfcompress.results import ArtifactResult, GateResult, Latency

#: Judged as soon as an artifact is measured on `gates_on`; the others need the timing session.
EARLY = frozenset({"max_drop", "max_size_mb", "max_size_ratio"})


def reference_of(recipe: Recipe, artifact: str) -> str | None:
    """What an artifact's metrics are compared with: the `against` of its gate, else the baseline; None for itself."""
    named = [gate.against for gate in recipe.gates if gate.artifact == artifact and gate.against]
    reference = named[0] if named else recipe.baseline_name
    return None if reference == artifact else reference


def judge(recipe: Recipe, artifacts: Sequence[ArtifactResult], *, early: bool = False) -> list[GateResult]:
    """Every gate whose artifacts are measured: those of the recipe, and the default ones.

    Args:
        recipe: its gates, and which stages quantize.
        artifacts: what was measured so far.
        early: only the gates that need no timing.
    """
    by_name = {artifact.name: artifact for artifact in artifacts}
    verdicts: list[GateResult] = []
    for gate in recipe.gates:
        against = gate.against or recipe.baseline_name
        if gate.artifact in by_name and (against in by_name or against == gate.artifact):
            verdicts += _judge_gate(gate, by_name[gate.artifact], by_name[against])
    if not early:
        verdicts += _default_gates(recipe, by_name)
    return [verdict for verdict in verdicts if not early or verdict.kind in EARLY]


def _judge_gate(gate: Gate, artifact: ArtifactResult, against: ArtifactResult) -> Iterator[GateResult]:
    def verdict(name: str, kind: str, bound: float, value: float, passed: bool) -> GateResult:
        return GateResult(
            name=name, artifact=artifact.name, kind=kind, bound=bound, value=value, confident=gate.confident,
            passed=passed,
        )

    for metric, bound in gate.max_drop.items():
        drop = _drop(artifact, against, metric, gate.confident)
        yield verdict(f"{metric} drop against {against.name}", "max_drop", bound, drop, drop <= bound)
    if gate.max_size_mb is not None:
        yield verdict("size", "max_size_mb", gate.max_size_mb, artifact.size_mb, artifact.size_mb <= gate.max_size_mb)
    if gate.max_size_ratio is not None:
        ratio, bound = artifact.size_mb / against.size_mb, gate.max_size_ratio
        yield verdict(f"size over {against.name}", "max_size_ratio", bound, ratio, ratio <= bound)
    if gate.min_speedup is not None:
        speedup, bound = _speedup(artifact, against, gate.confident), gate.min_speedup
        yield verdict(f"speed-up over {against.name}", "min_speedup", bound, speedup, speedup >= bound)
    for kind in ("p50", "p99"):
        limit: float | None = getattr(gate, f"max_{kind}_ms")
        if limit is not None and artifact.latency:
            slowest = max(getattr(cell, f"{kind}_ms") for cell in _cells(gate, artifact.latency))
            yield verdict(f"{kind} latency", f"max_{kind}_ms", limit, slowest, slowest <= limit)


def _drop(artifact: ArtifactResult, against: ArtifactResult, metric: str, confident: bool) -> float:
    """What is lost, as a positive fraction; with `confident` the most that the interval allows."""
    difference = artifact.validation_difference.get(metric)
    if difference is None or difference.against != against.name:
        return against.validation[metric].value - artifact.validation[metric].value
    return -(difference.low if confident else difference.value)


def _speedup(artifact: ArtifactResult, against: ArtifactResult, confident: bool) -> float:
    if not artifact.throughput_per_s or not against.throughput_per_s:
        return 0.0
    ratio = (artifact.speedup or 0.0) / (against.speedup or 1.0)
    if confident and artifact.speedup and artifact.speedup_low is not None:
        return ratio * artifact.speedup_low / artifact.speedup
    return ratio


def _cells(gate: Gate, grid: Iterable[Latency]) -> list[Latency]:
    return [
        cell
        for cell in grid
        if gate.batch in (None, cell.batch) and (cell.sequence is None or gate.sequence in (None, cell.sequence))
    ]


def _default_gates(recipe: Recipe, by_name: Mapping[str, ArtifactResult]) -> Iterator[GateResult]:
    """INT8 that is slower than its own source on this host is no gain."""
    for name, stage in recipe.stages.items():
        source = recipe.source_of(name)
        if stage.quantize is None or stage.quantize.allow_slower or not {name, source} <= set(by_name):
            continue
        ratio = _speedup(by_name[name], by_name[source], confident=False)
        yield GateResult(
            name=f"not slower than {source}", artifact=name, kind="not_slower", bound=1.0, value=ratio, passed=ratio >= 1
        )


def unpublishable(recipe: Recipe, gates: Sequence[GateResult]) -> set[str]:
    """The artifacts whose gate failed, and all that is made from them."""
    marked = {gate.artifact for gate in gates if not gate.passed}
    grown = True
    while grown:
        made = {name for name in recipe.stages if recipe.source_of(name) in marked} - marked
        marked |= made
        grown = bool(made)
    return marked
