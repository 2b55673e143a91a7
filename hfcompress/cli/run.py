"""`hfcompress run`: run a recipe."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfcompress.cli import failure
from hfcompress.cli.console import Session
from hfcompress.cli.options import Accelerate, Debug, Format, LaunchFields, OutputFormat, Set, TrustRemoteCode
from hfcompress.distributed.world import rank
from hfcompress.errors import InputError

if TYPE_CHECKING:
    from hfcompress.recipe.publish import PublishConfig
    from hfcompress.recipe.recipe import Recipe
    from hfcompress.results import Results


def run(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="The run folder; default: runs/<recipe name>.")] = None,
    overrides: Set = [],  # noqa: B006 - typer copies it
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, what is cached, and sizes.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run every stage again.")] = False,
    push: Annotated[
        bool, typer.Option("--push", help="Publish as the recipe's `publish` says, if all gates pass.")
    ] = False,
    keep_checkpoints: Annotated[bool, typer.Option("--keep-checkpoints", help="Leave the checkpoints.")] = False,
    trust_remote_code: TrustRemoteCode = False,
    accelerate: Accelerate = None,
    launch: LaunchFields = [],  # noqa: B006
    format_: Format = OutputFormat.human,
    debug: Debug = False,
) -> int:
    """Run a recipe, or go on with a run that was stopped. Publishes nothing without --push."""
    from hfcompress.recipe.loader import load_recipe

    loaded = load_recipe(recipe, overrides)
    if launch and accelerate is None:
        raise InputError("--launch changes an accelerate config; name one with --accelerate")
    target = _target(loaded) if push and not dry_run else None
    if accelerate is not None:
        from hfcompress.distributed.launch import plan_launch, run_launch

        planned = plan_launch(accelerate, launch)
        if not dry_run:
            return run_launch(planned, _without(sys.argv[1:], "--accelerate", "--launch"))
        os.environ["WORLD_SIZE"] = str(planned.processes)  # which is part of what a training stage's key says
    if dry_run:
        return _show_plan(loaded, out, trust_remote_code, format_)
    from hfcompress.pipeline.build import Options
    from hfcompress.pipeline.run import run_recipe

    options = Options(fresh=fresh, keep_checkpoints=keep_checkpoints, trust_remote_code=trust_remote_code)
    with Session("quiet" if rank() > 0 else format_.value) as session:
        results = run_recipe(loaded, out=out, options=options, progress=session.progress)
    session.show(results, out or Path("runs") / loaded.name)
    if target is not None and rank() == 0:
        _push(results, out or Path("runs") / loaded.name, target, format_)
    return 0 if results.passed else failure.GATE_FAILED


def _target(recipe: Recipe) -> PublishConfig:
    """Where to publish, before any long work: an hour of training should not end with a missing token."""
    from hfcompress.hub.repository import check_ready

    if recipe.publish is None:
        raise InputError("--push needs to know where to; add `publish: {repo_id: namespace/name}` to the recipe")
    check_ready(recipe.publish.repo_id)
    return recipe.publish


def _push(results: Results, run: Path, target: PublishConfig, format_: OutputFormat) -> None:
    from hfcompress.cli.push import show_pushed
    from hfcompress.pipeline.publish import publish_run

    if not results.passed:
        typer.echo(f"a gate failed, so nothing is pushed; what passed: hfcompress push {run}", err=True)
        return
    with Session(format_.value) as session:
        pushed = publish_run(run, target, session.progress)
    show_pushed(pushed, format_)


def _without(arguments: Sequence[str], *options: str) -> list[str]:
    """A command line without some options and their values."""
    kept, words = [], iter(arguments)
    for word in words:
        if word in options:
            next(words, None)
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return kept


def _show_plan(recipe: Recipe, out: Path | None, trust_remote_code: bool, format_: OutputFormat) -> int:
    from hfcompress.pipeline.dry_run import plan_recipe
    from hfcompress.pipeline.run import RUNS

    planned = plan_recipe(recipe, out or RUNS / recipe.name, trust_remote_code=trust_remote_code)
    if format_ is OutputFormat.json:
        typer.echo(json.dumps([asdict(stage) for stage in planned]))
        return 0
    width = max(len(stage.name) for stage in planned)
    for stage in planned:
        state = "cached" if stage.cached else "to run"
        about = f"{stage.size_mb:7.1f} MB" if stage.cached else f"about {stage.size_mb:.1f} MB"
        typer.echo(f"{stage.name:<{width}}  {stage.verb:<8}  from {stage.source:<{width}}  {state}  {about}")
    return 0
