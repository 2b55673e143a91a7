"""The stages as a graph: what each is made from, the order to make them in, and the faults of that graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from hfcompress.recipe.faults import Fault, Loc, closest, did_you_mean, listed, show
from hfcompress.recipe.nncf import misfits
from hfcompress.recipe.outline import Named, Outline, StageOutline
from hfcompress.recipe.recipe import SOURCE, SOURCE_FORMAT, Recipe
from hfcompress.recipe.schema import ModelRef
from hfcompress.recipe.stages import VERB_CONFIGS
from hfcompress.recipe.verb import Format


@dataclass(frozen=True)
class StageInputs:
    """What a stage is made from.

    Attributes:
        source: the artifact that it transforms.
        teachers: the models that it learns from: an artifact's name, or a model from outside the recipe.
        student: what its student starts from in place of the source, where it names that; in the same way.
    """

    source: str
    teachers: tuple[str | ModelRef, ...] = ()
    student: str | ModelRef | None = None

    @property
    def models(self) -> tuple[str | ModelRef, ...]:
        """The models that it names beside its source."""
        return self.teachers if self.student is None else (*self.teachers, self.student)

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Every artifact that has to be there first, the source at the front."""
        return tuple(dict.fromkeys([self.source, *(name for name in self.models if isinstance(name, str))]))


def inputs_of(recipe: Recipe, name: str) -> StageInputs:
    """What stage `name` is made from; a model's name is an artifact when the recipe has one of that name."""
    source, config = recipe.source_of(name), recipe.stages[name].config
    teachers = tuple(_artifact_or_outside(recipe, ref) for ref in config.teachers)
    if not teachers and config.learns_from_source:
        teachers = (source,)
    student = config.student_model
    return StageInputs(source, teachers, None if student is None else _artifact_or_outside(recipe, student))


def _artifact_or_outside(recipe: Recipe, ref: ModelRef) -> str | ModelRef:
    return ref.id if ref.revision is None and ref.id in (SOURCE, *recipe.stages) else ref


def artifact_format(recipe: Recipe, name: str) -> Format:
    """The format of an artifact of a valid recipe."""
    if name == SOURCE:
        return SOURCE_FORMAT
    config, source = recipe.stages[name].config, artifact_format(recipe, recipe.source_of(name))
    return config.produces(config.model_dump(mode="json"), source) or source


def source_format(recipe: Recipe, name: str) -> Format:
    """The format of what stage `name` transforms."""
    return artifact_format(recipe, recipe.source_of(name))


def stage_order(recipe: Recipe) -> list[str]:
    """The stages in an order in which each comes after what it is made from; otherwise as in the recipe."""
    waiting = {name: set(inputs_of(recipe, name).artifacts) - {SOURCE} for name in recipe.stages}
    order: list[str] = []
    while waiting:
        ready = next(name for name, needs in waiting.items() if needs.issubset(order))
        order.append(ready)
        del waiting[ready]
    return order


def graph_faults(recipe: Outline) -> Iterator[Fault]:
    """Names that name nothing, cycles, and formats that do not fit."""
    for stage in recipe.stages.values():
        yield from _name_faults(recipe, stage)
        yield from _format_faults(recipe, stage)
        yield from _int8_faults(recipe, stage)
        yield from _nncf_faults(recipe, stage)
    yield from _cycles(recipe)


def _name_faults(recipe: Outline, stage: StageOutline) -> Iterator[Fault]:
    if stage.name == SOURCE:
        yield Fault(("stages", SOURCE), "is what the recipe's `model` is called as an artifact; rename this stage")
    if stage.explicit and stage.source is not None and stage.source not in recipe.artifacts:
        others = [name for name in recipe.artifacts if name != stage.name]
        near = did_you_mean(stage.source, others)
        yield Fault(
            ("stages", stage.name, "from"), f"should name a stage or `{SOURCE}`, got {show(stage.source)}{near}"
        )
    for model in stage.models:
        near_stage = closest(model.name, recipe.artifacts)
        if near_stage and _is_misspelt(model, recipe):
            what = "names no stage and no local folder"
            yield Fault(model.loc, f"{what}, got {show(model.name)}; did you mean `{near_stage}`?")


def _is_misspelt(model: Named, recipe: Outline) -> bool:
    """Whether a model that is close to a stage's name can be nothing else: no path, no pinned Hub id, no folder."""
    if model.pinned or model.name in recipe.artifacts or "/" in model.name:
        return False
    return not Path(model.name).is_dir()


def _format_faults(recipe: Outline, stage: StageOutline) -> Iterator[Fault]:
    if stage.config is None:
        return
    wanted = stage.config.consumes
    fitting = listed(recipe.giving(wanted, before=stage.name), "or")
    given = recipe.format_of(stage.source) if stage.source != stage.name else None
    if given is not None and given not in wanted:
        way_out = _conversion(given, wanted) or (f"let `from` name {fitting}" if fitting else "")
        yield Fault(("stages", stage.name), _misfit(wanted, stage.source, given, way_out))
    for model in stage.models:
        given = None if model.pinned else recipe.format_of(model.name)
        if given is not None and given not in wanted:
            way_out = f"name {fitting}" if fitting else ""
            yield Fault(model.loc, _misfit(wanted, model.name, given, way_out))


def _int8_faults(recipe: Outline, stage: StageOutline) -> Iterator[Fault]:
    """What trains or quantizes begins with floating point; a model trained for INT8 may teach all the same."""
    if stage.config is None or stage.config.takes_int8:
        return
    starts = [Named(("stages", stage.name), stage.source)] if stage.source else []
    starts += [model for model in stage.models if model.loc[3:4] == ("student",) and not model.pinned]
    for start in starts:
        if recipe.format_of(start.name) in stage.config.consumes and recipe.is_int8(start.name):
            others = recipe.giving(stage.config.consumes, before=stage.name)
            fitting = listed((name for name in others if not recipe.is_int8(name)), "or")
            what = f"takes a model in floating point, but `{start.name}` is made for INT8"
            yield Fault(start.loc, f"{what}; name {fitting}" if fitting else what)


def _nncf_faults(recipe: Outline, stage: StageOutline) -> Iterator[Fault]:
    if stage.verb == "quantize" and recipe.format_of(stage.source) == "openvino":
        for key, what in misfits(stage.said):
            yield Fault(("stages", stage.name, "quantize", *key), what)


def _misfit(wanted: frozenset[Format], artifact: str | None, given: Format, way_out: str) -> str:
    what = f"takes {' or '.join(sorted(wanted))}, but `{artifact}` gives {given}"
    return f"{what}; {way_out}" if way_out else what


def _conversion(given: Format, wanted: frozenset[Format]) -> str | None:
    for verb, config in VERB_CONFIGS.items():
        if given in config.consumes and config.produces({}, given) in wanted:
            return f"put {'an' if verb[0] in 'aeiou' else 'a'} `{verb}` stage between them"
    return None


def _cycles(recipe: Outline) -> Iterator[Fault]:
    edges = {name: _edges(recipe, stage) for name, stage in recipe.stages.items()}
    while True:
        try:
            TopologicalSorter(edges).prepare()
        except CycleError as error:
            # graphlib lists each stage before the one that is made from it.
            cycle = _from_first(list(edges), list(reversed(error.args[1]))[1:])
            yield _cycle_fault(recipe, edges, cycle)
            edges[cycle[0]].pop(cycle[1 % len(cycle)])
        else:
            return


def _edges(recipe: Outline, stage: StageOutline) -> dict[str, Loc]:
    """The stages that a stage is made from, each with the place that says so."""
    edges = {model.name: model.loc for model in stage.models if not model.pinned}
    if stage.source is not None:
        edges[stage.source] = ("stages", stage.name, "from")
    return {name: loc for name, loc in edges.items() if name in recipe.stages and name != SOURCE}


def _from_first(order: list[str], cycle: list[str]) -> list[str]:
    start = min(range(len(cycle)), key=lambda place: order.index(cycle[place]))
    return cycle[start:] + cycle[:start]


def _cycle_fault(recipe: Outline, edges: dict[str, dict[str, Loc]], cycle: list[str]) -> Fault:
    implicit = [
        name for name, needs in zip(cycle, cycle[1:] + cycle[:1], strict=True) if _by_order(recipe, name, needs)
    ]
    why = f"; {listed(implicit, 'and')} without `from` takes the stage before it" if implicit else ""
    loc = edges[cycle[0]][cycle[1 % len(cycle)]]
    return Fault(loc, f"is made from itself: {' -> '.join([*cycle, cycle[0]])}{why}; use only what is made before it")


def _by_order(recipe: Outline, name: str, needs: str) -> bool:
    stage = recipe.stages[name]
    return not stage.explicit and stage.source == needs and all(model.name != needs for model in stage.models)
