"""What the page's script draws, as plain data: points, losses, latencies, flips. Figures come in words too."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from hfcompress.recipe.tasks import LESS_IS_BETTER
from hfcompress.report.doubt import cell_name, latency_name, mark
from hfcompress.report.entries import Entry, entries
from hfcompress.report.evidence import Flip, Reported
from hfcompress.report.figures import metric_figure, number, signed_metric, times, unit_of
from hfcompress.report.flips import compared
from hfcompress.report.html_scope import Scope, own_host, recipe_names, row_scopes
from hfcompress.report.table import headline_cell, runtime_name, was_timed
from hfcompress.results import Results, Speed

#: Parts of a loss as people call them.
_LOSSES = {"loss": "total", "eval_loss": "validation"}


def charts_of(runs: Sequence[Reported]) -> dict[str, Any]:
    """Everything that the script draws. Floats are rounded to what a screen can show."""
    metric = runs[0].results.metric
    scopes = [Scope(name, own_host(run.results)) for name, run in zip(recipe_names(runs), runs, strict=True)]
    each = list(zip(runs, scopes, strict=True))
    shape = headline_cell(runs[0].results)
    return {
        "metric": f"{metric}{unit_of(metric)}",
        "lessIsBetter": metric in LESS_IS_BETTER,
        "axes": _axes(shape),
        "points": [point for run, scope in each for point in _points(run.results, scope, shape)],
        "losses": [chart for run, scope in each for chart in _losses(run, scope)],
        "latencies": [strip for run, scope in each for strip in _latencies(run, scope)],
        "flips": [row for run, scope in each for row in _flipped(run, scope)],
    }


def _axes(shape: tuple[int, int | None] | None) -> list[dict[str, Any]]:
    axes = [
        {"key": "throughput", "name": "throughput", "title": "rows per second, more is better", "more": True},
        {"key": "size", "name": "size", "title": "size in MB, less is better", "more": False},
    ]
    if shape is not None:
        title = f"p50 of one call in ms at {cell_name(*shape)}, less is better"
        axes.insert(1, {"key": "latency", "name": "latency", "title": title, "more": False})
    return axes


def _points(results: Results, scope: Scope, shape: tuple[int, int | None] | None) -> Iterator[dict[str, Any]]:
    scopes = row_scopes(results, scope)
    factor = 1 if results.metric in LESS_IS_BETTER else 100
    for entry in entries(results):
        found, artifact, speed = entry.placed(results.metric), entry.artifact, entry.speed
        if found is None:
            continue
        yield {
            **_scoped(scopes[entry.name]),
            "artifact": entry.name,
            "format": artifact.format,
            "publishable": artifact.publishable,
            "elsewhere": entry.there is not None,
            "score": _rounded(factor * found.value),
            "low": _rounded(factor * found.low),
            "high": _rounded(factor * found.high),
            "size": _rounded(artifact.size_mb),
            "throughput": _rounded(speed.throughput_per_s) if was_timed(speed) else None,
            "latency": _p50(speed, shape),
            "facts": list(_facts(results, entry)),
        }


def _facts(results: Results, entry: Entry) -> Iterator[tuple[str, str]]:
    """What a tooltip says of a point."""
    metric, artifact, speed = results.metric, entry.artifact, entry.speed
    found, difference = entry.metric(metric), entry.difference(metric)
    if found is not None:
        value, low, high = (metric_figure(metric, bound) for bound in (found.value, found.low, found.high))
        yield f"{metric}{'' if entry.there is None else ' on the sample'}", f"{value} [{low}, {high}]"
    if difference is not None:
        value, low, high = (signed_metric(metric, d) for d in (difference.value, difference.low, difference.high))
        yield f"to {difference.against}{'' if entry.there is None else ' here'}", f"{value} [{low}, {high}]"
    if agreed := entry.agreement():
        yield "equal answers", agreed
    if was_timed(speed):
        yield "rows/s", number(speed.throughput_per_s) + mark(speed, "throughput")
    if speed.speedup is not None and artifact.name != results.baseline:
        yield "speed-up", times(speed.speedup) + mark(speed, "speed-up")
    yield "size", f"{number(artifact.size_mb)} MB"
    made_by = (artifact.stage or "as given") if entry.there is None else "bundle"
    yield "made by", f"{made_by} ({runtime_name(speed, artifact.format)})"
    if not artifact.publishable:
        yield "gates", "FAILED"


def _p50(speed: Speed, shape: tuple[int, int | None] | None) -> float | None:
    return next((_rounded(cell.p50_ms) for cell in speed.latency if (cell.batch, cell.sequence) == shape), None)


def _losses(run: Reported, scope: Scope) -> Iterator[dict[str, Any]]:
    verbs = {artifact.name: artifact.stage for artifact in run.results.artifacts}
    for training in run.evidence.trainings:
        # A total that has one part would be drawn twice.
        parts = [name for name in training.losses if name.startswith("loss_")]
        shown = {name: each for name, each in training.losses.items() if name != "loss" or len(parts) != 1}
        series = [
            {"name": _loss_name(name), "values": [(step, _rounded(value)) for step, value in values]}
            for name, values in shown.items()
        ]
        yield {**_scoped(scope), "artifact": training.artifact, "verb": verbs.get(training.artifact), "series": series}


def _loss_name(name: str) -> str:
    return _LOSSES.get(name, name.removeprefix("loss_").replace("_", " "))


def _latencies(run: Reported, scope: Scope) -> Iterator[dict[str, Any]]:
    known = {artifact.name: artifact for artifact in run.results.artifacts}
    for samples in run.evidence.samples:
        artifact = known[samples.artifact]
        shape = (samples.batch, samples.sequence)
        cell = next((cell for cell in artifact.latency if (cell.batch, cell.sequence) == shape), None)
        if cell is None:  # a session that was not over when the results were written
            continue
        percentiles = [(name, number(getattr(cell, f"{name}_ms"))) for name in ("p50", "p90", "p95", "p99")]
        yield {
            **_scoped(scope),
            "artifact": samples.artifact,
            "format": artifact.format,
            "cell": cell_name(*shape),
            "p50": _rounded(cell.p50_ms),
            "p90": _rounded(cell.p90_ms),
            "doubt": bool(mark(artifact, latency_name(cell))),
            "facts": [(name, f"{figure} ms") for name, figure in percentiles],
            "ms": [_rounded(value) for value in samples.milliseconds],
        }


def _flipped(run: Reported, scope: Scope) -> Iterator[dict[str, Any]]:
    """Rows, or words of rows, with every artifact that answers otherwise than its reference; what most lost first."""
    examples = run.evidence.examples
    if examples is None:
        return
    references = {artifact.name: flips.against for artifact, flips in compared(run.results)}
    found: dict[tuple[int, int], list[tuple[str, Flip]]] = {}
    for name in references:
        for flip in examples.flips.get(name, ()):
            found.setdefault((flip.row, -1 if flip.word is None else flip.word), []).append((name, flip))
    lost = {key: sum(flip.verdict == "lost" for _, flip in flipped) for key, flipped in found.items()}
    for (row, _), flipped in sorted(found.items(), key=lambda item: (-lost[item[0]], item[0])):
        example = examples.rows.get(row)
        yield {
            **_scoped(scope),
            "row": row,
            "word": flipped[0][1].word,
            "label": ", ".join(dict.fromkeys(flip.label for _, flip in flipped)),
            "answers": [{"artifact": name, "against": references[name], **_answer(flip)} for name, flip in flipped],
            "example": example.model_dump(mode="json", exclude_defaults=True) if example is not None else None,
        }


def _answer(flip: Flip) -> dict[str, Any]:
    return {"about": flip.about, "verdict": flip.verdict, "before": flip.before, "after": flip.after}


def _scoped(scope: Scope) -> dict[str, str]:
    return {"recipe": scope.recipe, "host": scope.host}


def _rounded(value: float) -> float | None:
    """Six significant digits; None where it is no finite number, which JSON cannot say."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
