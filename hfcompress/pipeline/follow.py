"""The other ranks' side of a run: wait, train when rank 0 says so, and leave everything else to it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hfcompress.artifact import Artifact
from hfcompress.distributed.shared_folder import show_shared
from hfcompress.distributed.world import World
from hfcompress.errors import LaunchError
from hfcompress.pipeline.build import Made, Options, key_of, outside, run_named
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.plan import Plan, make_plan
from hfcompress.recipe.graph import artifact_format
from hfcompress.recipe.recipe import Recipe
from hfcompress.results import Results
from hfcompress.stage import Run


def follow(recipe: Recipe, folder: RunFolder, options: Options, world: World) -> Results:
    """Do as rank 0 says until the run is over; gives its results.

    Raises:
        LaunchError: this process would make other artifacts than rank 0.
        SystemExit: the run has failed on rank 0, which says why.
    """
    orders = _orders(world)
    next(orders)  # "begin"
    show_shared(folder.root, world)
    plan: Plan | None = None
    for number, order in orders:
        if order["do"] == "train":
            # The recipe is sound on rank 0, so a fault that is found here is this machine's own.
            plan = plan or make_plan(recipe, trust_remote_code=options.trust_remote_code)
            _train(plan, folder, order)
        world.tell(f"done/{number}/{world.rank}", "")
        if order["do"] == "end":
            return Results.model_validate(order["results"])
    raise SystemExit(70)  # for the type checker: orders end with an end


def _orders(world: World) -> Iterator[tuple[int, dict[str, Any]]]:
    for number in itertools.count():
        order = json.loads(str(world.hear(f"order/{number}")))
        if order["do"] == "fail":
            world.tell(f"done/{number}/{world.rank}", "")
            raise SystemExit(order["code"])
        yield number, order


def _train(plan: Plan, folder: RunFolder, order: dict[str, Any]) -> None:
    name, made = order["stage"], _made(plan, folder, order["digests"])
    key = key_of(plan, name, made)
    if key != order["key"]:
        raise LaunchError(
            f"this process would make another `{name}` than rank 0: its data, models, libraries or precision differ; "
            "give every machine the same ones"
        )
    # What a stage writes into `out` is rank 0's to keep: here it goes into a folder that is thrown away.
    with TemporaryDirectory(prefix="hfcompress-") as out:
        work, cache = folder.work(name, key), folder.teacher_cache
        run_named(plan, name, made, Run(name, plan.data, plan.recipe.seed, Path(out), work, teacher_cache=cache))


def _made(plan: Plan, folder: RunFolder, digests: dict[str, str]) -> dict[str, Made]:
    """The artifacts of the run folder, which rank 0 has just checked or made."""
    made = outside(plan)
    for name in plan.order:
        if name in digests:
            artifact = Artifact(folder.artifact(name), artifact_format(plan.recipe, name), None, plan.source.trusted)
            made[name] = Made(artifact, digests[name])
    return made
