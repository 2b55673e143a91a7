"""Faults between the blocks of a recipe: columns and metrics that the task lacks, splits and artifacts that are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from hfcompress.recipe.data import BenchmarkConfig, DataConfig, EvaluateConfig, Split
from hfcompress.recipe.faults import Fault, Loc, did_you_mean, listed, show
from hfcompress.recipe.outline import Outline, StageOutline, items, mapping, text
from hfcompress.recipe.recipe import SOURCE
from hfcompress.recipe.stages import VERB_CONFIGS
from hfcompress.recipe.tasks import LESS_IS_BETTER, Metric, TaskLanguage

#: Bounds that compare an artifact with another one.
_RELATIVE = ("max_drop", "max_rise", "min_speedup", "max_size_ratio")


def reference_faults(recipe: Outline) -> Iterator[Fault]:
    """Every name in `data`, `evaluate`, `baseline` and `gates` that names nothing."""
    if recipe.language is not None:
        yield from _column_faults(recipe.block("data"), recipe.language)
        yield from _unlabeled_faults(recipe, recipe.language)
        yield from _metric_faults(recipe, recipe.language)
    yield from _split_faults(recipe)
    baseline = text(recipe.raw.get("baseline"))
    if baseline is not None:
        yield from _artifact_fault(recipe, ("baseline",), baseline)
    for place, gate in enumerate(items(recipe.raw.get("gates"))):
        yield from _gate_faults(recipe, ("gates", place), mapping(gate))
    yield from _publish_faults(recipe)
    for name in recipe.stages:
        stage = mapping(mapping(recipe.raw.get("stages")).get(name))
        yield from _fallback_faults(recipe, ("stages", name, "quantize", "fallback"), mapping(stage.get("quantize")))


def _column_faults(data: Mapping[str, Any], language: TaskLanguage) -> Iterator[Fault]:
    roles = (*language.required, *language.evaluated, *language.optional)
    columns = mapping(data.get("columns"))
    for role in columns:
        if role not in roles:
            yield Fault(("data", "columns", role), f"unknown role of a column{did_you_mean(role, roles)}")
    read: dict[str, str] = {}
    for role in (*language.required, *language.evaluated, *(role for role in language.optional if role in columns)):
        column = columns.get(role, role)
        if not isinstance(column, str):
            continue
        if column in read:
            loc: Loc = ("data", "columns", role)
            yield Fault(loc, f"reads the column {show(column)}, and `{read[column]}` reads it too; name another column")
        read[column] = role


def _unlabeled_faults(recipe: Outline, language: TaskLanguage) -> Iterator[Fault]:
    unlabeled = recipe.block("data").get("unlabeled")
    if unlabeled is None:
        return
    loc: Loc = ("data", "unlabeled")
    if not language.labels:
        yield Fault(loc, f"{recipe.raw['task']} learns from rows without labels; put these rows into data.path")
        return
    taught = [verb for verb, config in VERB_CONFIGS.items() if config.learns_from_source]
    if not any(stage.verb in taught for stage in recipe.stages.values()):
        readers = listed(taught, "and")
        yield Fault(loc, f"is read by {readers} stages, and this recipe has none; remove it, or add such a stage")
    named = mapping(recipe.block("data").get("columns"))
    roles = [role for role in (*language.required, *language.optional) if role not in language.labels]
    for role in mapping(mapping(unlabeled).get("columns")):
        if role in language.labels:
            yield Fault((*loc, "columns", role), "names labels, which these rows do not have; remove it")
        elif role not in roles:
            yield Fault((*loc, "columns", role), f"unknown role of a column{did_you_mean(role, roles)}")
        elif role in language.optional and role not in named:
            yield Fault((*loc, "columns", role), f"is not read, as data.columns names no `{role}`; name it there too")


def _metric_faults(recipe: Outline, language: TaskLanguage) -> Iterator[Fault]:
    known = language.metrics
    for place, metric in enumerate(items(recipe.block("evaluate").get("metrics"))):
        if metric in get_args(Metric) and metric not in known:
            what = f"is no metric of {recipe.raw['task']}, got {show(metric)}{did_you_mean(metric, known)}"
            yield Fault(("evaluate", "metrics", place), what)


def _split_faults(recipe: Outline) -> Iterator[Fault]:
    splits = recipe.block("data").get(
        "splits", DataConfig.model_fields["splits"].get_default(call_default_factory=True)
    )
    if not isinstance(splits, Mapping) or not set(splits) <= set(get_args(Split)):
        return  # a misspelt split is one fault, not also the absence of the right one
    evaluate = recipe.block("evaluate")
    for field in ("gates_on", "report_on"):
        split = evaluate.get(field, EvaluateConfig.model_fields[field].default)
        if split in get_args(Split) and split not in splits:
            yield Fault(("evaluate", field), f"reads the split `{split}`, which `data.splits` lacks{_other(splits)}")
    for split in mapping(recipe.block("data").get("limit")):
        if split in get_args(Split) and split not in splits:
            yield Fault(("data", "limit", split), "limits a split that `data.splits` lacks; add it there")
    reading = [stage for stage in recipe.stages.values() if _reads_train(recipe, stage)]
    if reading and "train" not in splits:
        first = reading[0]
        yield Fault(("data", "splits"), f"lacks `train`, which stages.{first.name}.{first.verb} needs; add it")


def _reads_train(recipe: Outline, stage: StageOutline) -> bool:
    """Stages that train, and those that calibrate."""
    if stage.config is None or stage.config.trains:
        return stage.config is not None
    config = mapping(mapping(recipe.raw.get("stages")).get(stage.name)).get(stage.verb or "")
    return mapping(config).get("calibration") is not None


def _other(splits: Mapping[str, Any]) -> str:
    others = [split for split in splits if split != "train"]
    return f"; add it there, or read {listed(others, 'or')}" if others else "; add it there"


def _artifact_fault(recipe: Outline, loc: Loc, name: str) -> Iterator[Fault]:
    if name not in recipe.artifacts:
        near = did_you_mean(name, recipe.artifacts)
        yield Fault(loc, f"should name an artifact of this recipe, got {show(name)}{near}")


def _publish_faults(recipe: Outline) -> Iterator[Fault]:
    for place, item in enumerate(items(recipe.block("publish").get("artifacts"))):
        name, loc = text(item), ("publish", "artifacts", place)
        if name == SOURCE:
            yield Fault(
                loc, f"`{SOURCE}` is what the recipe starts from, which is not this run's to publish; remove it"
            )
        elif name is not None:
            yield from _artifact_fault(recipe, loc, name)


def _gate_faults(recipe: Outline, loc: Loc, gate: Mapping[str, Any]) -> Iterator[Fault]:
    artifact, against = text(gate.get("artifact")), text(gate.get("against"))
    for field, name in (("artifact", artifact), ("against", against)):
        if name is not None:
            yield from _artifact_fault(recipe, (*loc, field), name)
    yield from _self_comparison(recipe, loc, gate)
    yield from _unmeasured(recipe, loc, gate)
    yield from _wrong_way(loc, gate)
    yield from _off_the_grid(recipe, loc, gate)


def _self_comparison(recipe: Outline, loc: Loc, gate: Mapping[str, Any]) -> Iterator[Fault]:
    artifact, against = gate.get("artifact"), gate.get("against")
    if artifact is None:
        return
    if against == artifact:
        yield Fault((*loc, "against"), f"compares {show(artifact)} with itself; name another artifact")
    elif against is None and artifact == recipe.baseline and any(gate.get(bound) for bound in _RELATIVE):
        what = f"compares {show(artifact)} with the baseline, which is {show(artifact)} itself; name `against`"
        yield Fault(loc, what)


def _fallback_faults(recipe: Outline, loc: Loc, quantize: Mapping[str, Any]) -> Iterator[Fault]:
    """A search reads validation rows alone: what is chosen on the test split tells nothing on it."""
    fallback = mapping(quantize.get("fallback"))
    if not fallback:
        return
    split = recipe.block("evaluate").get("gates_on", EvaluateConfig.model_fields["gates_on"].default)
    if split in get_args(Split) and split != "validation":
        what = f"is searched on `validation`, and evaluate.gates_on is `{split}`; set that to validation"
        yield Fault(loc, what)
    yield from _unmeasured(recipe, loc, fallback)
    for metric in LESS_IS_BETTER & set(mapping(fallback.get("max_drop"))):
        yield Fault((*loc, "max_drop", metric), "is better when it is less; name a metric of which more is better")


def _unmeasured(recipe: Outline, loc: Loc, gate: Mapping[str, Any]) -> Iterator[Fault]:
    if recipe.language is None:
        return
    evaluated = items(recipe.block("evaluate").get("metrics")) or list(recipe.language.metrics[:1])
    if not all(metric in get_args(Metric) for metric in evaluated):
        return
    for bound in ("max_drop", "max_rise"):
        for metric in mapping(gate.get(bound)):
            if metric in get_args(Metric) and metric not in evaluated:
                what = f"is not evaluated, only {listed(evaluated)}; add it to evaluate.metrics"
                yield Fault((*loc, bound, metric), what)


def _wrong_way(loc: Loc, gate: Mapping[str, Any]) -> Iterator[Fault]:
    for metric in mapping(gate.get("max_drop")):
        if metric in LESS_IS_BETTER:
            yield Fault((*loc, "max_drop", metric), "is better when it is less; bound it by `max_rise`")
    for metric in mapping(gate.get("max_rise")):
        if metric in get_args(Metric) and metric not in LESS_IS_BETTER:
            yield Fault((*loc, "max_rise", metric), "is better when it is more; bound it by `max_drop`")


def _off_the_grid(recipe: Outline, loc: Loc, gate: Mapping[str, Any]) -> Iterator[Fault]:
    for axis in ("batch", "sequence"):
        value = gate.get(axis)
        if value is None:
            continue
        if axis == "sequence" and recipe.language is not None and not recipe.language.has_sequence:
            yield Fault((*loc, axis), f"{recipe.raw['task']} has no sequence length, got {show(value)}; remove it")
            continue
        grid = recipe.block("benchmark").get(axis, list(BenchmarkConfig.model_fields[axis].default))
        if isinstance(grid, list) and isinstance(value, int) and value not in grid:
            what = f"is not measured, got {show(value)}; choose from {show(grid)}, or add it to benchmark.{axis}"
            yield Fault((*loc, axis), what)
