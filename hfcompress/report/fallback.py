"""Accuracy-aware fallback as tables: what each layer costs in INT8, and what returning layers gave back."""

from __future__ import annotations

from collections.abc import Iterator

from hfcompress.report.figures import number, told_apart
from hfcompress.report.grid import Cell, Column, Table, numbers, words
from hfcompress.report.table import difference_cell
from hfcompress.results import ArtifactResult, FallbackResult, FallbackStep, RankedLayer, Results

#: What ends the name of a product's node in an exported graph; the rest is the path of its module.
_OPERATORS = ("MatMul", "Gemm", "Conv", "Gather")
#: Layers that are shown; results.json has them all.
MOST_LAYERS = 16


def fallbacks(results: Results) -> Iterator[tuple[ArtifactResult, FallbackResult]]:
    """The artifacts that were made with a fallback."""
    for artifact in results.artifacts:
        if artifact.fallback is not None:
            yield artifact, artifact.fallback


def fallback_tables(results: Results) -> Iterator[Table]:
    """Two tables an artifact with a fallback: its steps, and the ranking where layers had to return."""
    for artifact, fallback in fallbacks(results):
        yield steps_table(artifact, fallback)
        if fallback.ranking:
            yield ranking_table(artifact, fallback)


def steps_table(artifact: ArtifactResult, fallback: FallbackResult) -> Table:
    """One row a step: what returned, what the bounded metrics lost, and the speed that was left."""
    metrics = tuple(fallback.max_drop)
    source = next(iter(fallback.steps[0].difference.values())).against
    return Table(
        title=f"{artifact.name}: layers returned to floating point",
        columns=(
            *words("step"),
            *(Column(f"{metric} difference") for metric in metrics),
            *numbers("speed-up"),
            *words("budget"),
        ),
        rows=tuple(
            (
                Cell(change),
                *(difference_cell(metric, step.difference[metric], named=False) for metric in metrics),
                Cell() if step.speedup is None else Cell(f"{step.speedup:.2f}x"),
                _verdict(step, fallback),
            )
            for change, step in zip(changes(fallback), fallback.steps, strict=True)
        ),
        caption=f"Difference in points and speed-up against {source}, on {_split(fallback)}; {_budget(fallback)}.",
        notes=tuple(_notes(artifact, fallback)),
    )


def ranking_table(artifact: ArtifactResult, fallback: FallbackResult) -> Table:
    """The layers, costliest first."""
    shown = fallback.ranking[:MOST_LAYERS]
    metrics = tuple(fallback.max_drop)
    rest = len(fallback.ranking) - len(shown)
    return Table(
        title=f"{artifact.name}: what layers cost in INT8",
        columns=(
            *words("layer"),
            *numbers("output error", "cost alone"),
            *(Column(f"{metric} alone") for metric in metrics),
            *words("stays"),
        ),
        rows=tuple(_ranked(layer, metrics, fallback) for layer in shown),
        caption=(
            f"Squared error over squared output: of the layer's own output, and of the model's with this layer alone "
            f"in INT8; on at most {fallback.rows} rows of {_split(fallback)}."
        ),
        notes=(f"{rest} layers more are in results.json",) if rest else (),
    )


def changes(fallback: FallbackResult) -> Iterator[str]:
    """What each step changed: `all in INT8`, `+ encoder.layer.0.output.dense` (returned), `- ...` (in INT8 again)."""
    before: tuple[str, ...] = ()
    for step in fallback.steps:
        back = [f"+ {module_of(layer)}" for layer in step.returned if layer not in before]
        again = [f"- {module_of(layer)}" for layer in before if layer not in step.returned]
        yield ", ".join([*back, *again]) or "all in INT8"
        before = step.returned


def module_of(node: str) -> str:
    """The path of the module that an exported node comes from: `/encoder/layer.0/dense/MatMul` -> `encoder...dense`."""
    parts = [part for part in node.split("/") if part]
    if len(parts) > 1 and parts[-1] in _OPERATORS:
        parts = parts[:-1]
    return ".".join(parts)


def holds(step: FallbackStep, fallback: FallbackResult) -> bool:
    """Whether a step is within the budget."""
    return all(-step.difference[metric].value <= bound for metric, bound in fallback.max_drop.items())


def _verdict(step: FallbackStep, fallback: FallbackResult) -> Cell:
    return Cell("holds", tone="good") if holds(step, fallback) else Cell("exceeded", tone="bad")


def _ranked(layer: RankedLayer, metrics: tuple[str, ...], fallback: FallbackResult) -> tuple[Cell, ...]:
    return (
        Cell(module_of(layer.layer)),
        Cell(number(layer.output_error)),
        Cell() if layer.cost is None else Cell(number(layer.cost)),
        *(difference_cell(metric, layer.difference.get(metric), named=False) for metric in metrics),
        Cell("floating point", tone="strong") if layer.layer in fallback.returned else Cell("INT8"),
    )


def _budget(fallback: FallbackResult) -> str:
    bounds = ", ".join(f"{metric} -{told_apart(100 * bound, 0, 1)[0]}" for metric, bound in fallback.max_drop.items())
    return f"budget: {bounds}"


def _split(fallback: FallbackResult) -> str:
    return next(iter(fallback.steps[0].difference.values())).split


def _notes(artifact: ArtifactResult, fallback: FallbackResult) -> Iterator[str]:
    if not fallback.returned:
        yield "INT8 of every layer is within the budget: nothing was returned"
    elif any(found.split == _split(fallback) for found in artifact.metrics.values()):
        split = _split(fallback)
        yield f"the layers were chosen on {split}, whose metrics are reported too: they flatter this artifact"
