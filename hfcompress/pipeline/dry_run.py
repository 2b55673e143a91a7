"""What a run would do, without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hfcompress.pipeline.build import Made, cached, key_of, outside
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.plan import estimate_bytes, make_plan
from hfcompress.recipe.recipe import Recipe


@dataclass(frozen=True)
class PlannedStage:
    """One line of the plan.

    Attributes:
        name, verb, source: the stage, what it does, what it takes.
        cached: whether the run folder holds its artifact.
        size_mb: of the artifact when it is there, else a guess; 10^6 bytes of weights and graph.
    """

    name: str
    verb: str
    source: str
    cached: bool
    size_mb: float


def plan_recipe(recipe: Recipe, out: Path, *, trust_remote_code: bool = False) -> list[PlannedStage]:
    """The stages in the order they would run. Checks all that `run_recipe` checks first, and writes nothing.

    A stage whose input has yet to be made has no key yet, so it counts as not cached.
    """
    from hfcompress.artifact import model_bytes

    plan = make_plan(recipe, trust_remote_code=trust_remote_code)
    folder, guesses = RunFolder(out), estimate_bytes(plan)
    made: dict[str, Made] = outside(plan)
    planned: list[PlannedStage] = []
    for name in plan.order:
        stage, source = recipe.stages[name], recipe.source_of(name)
        known = {source, *plan.models_of(name)} <= set(made)
        found = cached(plan, name, folder, key_of(plan, name, made)) if known else None
        if found is not None:
            made[name] = found
        size = model_bytes(found.artifact.path) if found else guesses[name]
        planned.append(PlannedStage(name, stage.verb, source, found is not None, size / 1e6))
    return planned
