"""Gates: bounds of the recipe, judged on what was measured. Pure functions of results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hfcompress.benchmark.statistics import percentile_interval
from hfcompress.benchmark.summary import speedup_over
from hfcompress.benchmark.timings import Timings
from hfcompress.errors import InputError
from hfcompress.quantize.targets import runs_elsewhere
from hfcompress.recipe.data import Gate
from hfcompress.recipe.graph import inputs_of
from hfcompress.recipe.recipe import Recipe
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.recipe.training_stages import QatConfig
from hfcompress.results import NOT_SLOWER, ArtifactResult, Difference, GateResult

#: The bounds of a gate that a timing session judges.
_OF_SPEED = ("min_speedup", "max_p50_ms", "max_p99_ms")


def reference_of(recipe: Recipe, artifact: str) -> str | None:
    """What an artifact's metrics are compared with: the `against` of its gate, else the baseline; None for itself."""
    named = [gate.against for gate in recipe.gates if gate.artifact == artifact and gate.against]
    reference = named[0] if named else recipe.baseline_name
    return None if reference == artifact else reference


@dataclass(frozen=True)
class Evidence:
    """What gates are judged on.

    Attributes:
        artifacts: results by name.
        differences: (artifact, against) -> metric -> paired difference on `gates_on`.
        timings: samples by name; empty until the timing session.
        seed: of the intervals.
    """

    artifacts: Mapping[str, ArtifactResult]
    differences: Mapping[tuple[str, str], Mapping[str, Difference]]
    timings: Mapping[str, Timings]
    seed: int


def judge(recipe: Recipe, evidence: Evidence) -> list[GateResult]:
    """Every gate whose artifacts are measured: those of the recipe, and the default ones.

    Without timings only accuracy and size are judged.
    """
    verdicts: list[GateResult] = []
    for gate in recipe.gates:
        against = gate.against or recipe.baseline_name
        if {gate.artifact, against} <= set(evidence.artifacts):
            verdicts += _quality(gate, against, evidence)
            verdicts += _speed(gate, against, evidence)
    return [*verdicts, *_default_gates(recipe, evidence)]


def _verdict(gate: Gate, kind: str, name: str, value: float, bound: float) -> GateResult:
    passed = value >= bound if kind.startswith("min_") else value <= bound
    return GateResult(
        name=name, artifact=gate.artifact, kind=kind, bound=bound, value=value, confident=gate.confident, passed=passed
    )


def _quality(gate: Gate, against: str, evidence: Evidence) -> Iterator[GateResult]:
    ours, theirs = evidence.artifacts[gate.artifact], evidence.artifacts[against]
    for metric, bound in gate.max_drop.items():
        drop = _drop(gate, against, metric, evidence)
        yield _verdict(gate, "max_drop", f"{metric} drop against {against}", drop, bound)
    for metric, bound in gate.max_rise.items():
        rise = _rise(gate, against, metric, evidence)
        yield _verdict(gate, "max_rise", f"{metric} rise against {against}", rise, bound)
    if gate.max_size_mb is not None:
        yield _verdict(gate, "max_size_mb", "size", ours.size_mb, gate.max_size_mb)
    if gate.max_size_ratio is not None:
        yield _verdict(
            gate, "max_size_ratio", f"size over {against}", ours.size_mb / theirs.size_mb, gate.max_size_ratio
        )


def _speed(gate: Gate, against: str, evidence: Evidence) -> Iterator[GateResult]:
    if gate.artifact not in evidence.timings:
        return
    ours = evidence.timings[gate.artifact]
    if gate.min_speedup is not None and against in evidence.timings:
        speedup = speedup_over(evidence.timings[against], ours, evidence.seed)
        value = speedup.low if gate.confident else speedup.value
        yield _verdict(gate, "min_speedup", f"speed-up over {against}", value, gate.min_speedup)
    for percent, bound in ((50, gate.max_p50_ms), (99, gate.max_p99_ms)):
        if bound is not None:
            yield _verdict(
                gate, f"max_p{percent}_ms", f"p{percent} latency", _slowest(gate, ours, percent, evidence), bound
            )


def _slowest(gate: Gate, timings: Timings, percent: int, evidence: Evidence) -> float:
    """The percentile of the slowest cell that the gate selects, in milliseconds."""
    chosen = [
        percentile_interval(seconds, percent, evidence.seed)
        for (batch, sequence), seconds in timings.latency_s.items()
        if gate.batch in (None, batch) and (sequence is None or gate.sequence in (None, sequence))
    ]
    return 1000 * max(estimate.high if gate.confident else estimate.value for estimate in chosen)


def _drop(gate: Gate, against: str, metric: str, evidence: Evidence) -> float:
    """What is lost, as a positive fraction; with `confident` the most that the paired interval allows."""
    if gate.artifact == against:
        return 0.0
    difference = evidence.differences[gate.artifact, against][metric]
    return -(difference.low if gate.confident else difference.value)


def _rise(gate: Gate, against: str, metric: str, evidence: Evidence) -> float:
    """What a metric of which less is better has gained; with `confident` the most that the paired interval allows."""
    if gate.artifact == against:
        return 0.0
    difference = evidence.differences[gate.artifact, against][metric]
    return difference.high if gate.confident else difference.value


def _default_gates(recipe: Recipe, evidence: Evidence) -> Iterator[GateResult]:
    """INT8 that is slower than the same model in floating point on this host is no gain."""
    for name in recipe.stages:
        source = floating_point_of(recipe, name)
        if source is None or not {name, source} <= set(evidence.timings):
            continue
        ratio = speedup_over(evidence.timings[source], evidence.timings[name], evidence.seed).value
        yield GateResult(
            name=f"{NOT_SLOWER}{source}",
            artifact=name,
            kind="not_slower",
            bound=1.0,
            value=ratio,
            passed=ratio >= 1,
        )


def floating_point_of(recipe: Recipe, artifact: str) -> str | None:
    """What INT8 must not be slower than; None for what is not INT8 or runs elsewhere, and where the recipe allows it.

    Of a `quantize` stage: its source. Of an export of a `qat` stage: an export of what that stage was given, so that
    one runtime is compared with itself; where the recipe has none, what the stage was given, in PyTorch.
    """
    config = int8_config(recipe, artifact)
    if config is None or config.allow_slower or runs_elsewhere(config.target):
        return None
    source = recipe.source_of(artifact)
    if isinstance(config, QuantizeConfig):
        return source
    given = recipe.source_of(source)
    exports = [name for name, other in recipe.stages.items() if other.export and recipe.source_of(name) == given]
    return exports[0] if exports else given


def int8_config(recipe: Recipe, artifact: str) -> QuantizeConfig | QatConfig | None:
    """What made a graph INT8: its own `quantize`, or the `qat` that it is an export of; None where nothing did."""
    stage, source = recipe.stages[artifact], recipe.source_of(artifact)
    if stage.export is not None and source in recipe.stages:
        return recipe.stages[source].qat
    return stage.quantize


def check_speed_bounds(recipe: Recipe) -> None:
    """Refuse bounds on the speed of what is made for another machine: they would be judged on this one.

    Raises:
        InputError: names the gate.
    """
    for gate in recipe.gates:
        config = int8_config(recipe, gate.artifact) if gate.artifact in recipe.stages else None
        asked = [kind for kind in _OF_SPEED if getattr(gate, kind) is not None]
        if asked and config is not None and runs_elsewhere(config.target):
            raise InputError(
                f"a gate bounds {asked[0]} of `{gate.artifact}`, which is made for {config.target} and measured on "
                f"this CPU: that speed says nothing of {config.target}; drop the bound, and measure on the target"
            )


def unpublishable(recipe: Recipe, gates: Sequence[GateResult]) -> set[str]:
    """The artifacts with a gate that failed or that nobody judged, and all that is made from them."""
    judged = Counter((gate.artifact, gate.kind, gate.bound) for gate in gates)
    bad = {gate.artifact for gate in gates if not gate.passed}
    bad |= {artifact for artifact, _, _ in Counter(_bounds(recipe)) - judged}
    grown = True
    while grown:
        made = {name for name in recipe.stages if bad & set(inputs_of(recipe, name).artifacts)} - bad
        bad |= made
        grown = bool(made)
    return bad


def marked(
    recipe: Recipe, artifacts: Sequence[ArtifactResult], gates: Sequence[GateResult]
) -> tuple[ArtifactResult, ...]:
    """The artifacts with `publishable` as the verdicts have it."""
    bad = unpublishable(recipe, gates)
    return tuple(artifact.model_copy(update={"publishable": artifact.name not in bad}) for artifact in artifacts)


def _bounds(recipe: Recipe) -> Iterator[tuple[str, str, float]]:
    """Artifact, kind and bound of every verdict that the gates of a recipe ask for."""
    for gate in recipe.gates:
        for kind in ("max_drop", "max_rise"):
            yield from ((gate.artifact, kind, bound) for bound in getattr(gate, kind).values())
        for kind in ("max_size_mb", "max_size_ratio", *_OF_SPEED):
            if (bound := getattr(gate, kind)) is not None:
                yield gate.artifact, kind, bound
