"""A run folder to the Hub: what of it, as what repository, and the push."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hfcompress.errors import InputError
from hfcompress.hub.choice import default_choice
from hfcompress.hub.layout import PLOT, README, RunFacts, layout
from hfcompress.hub.publication import Publication
from hfcompress.hub.push import Pushed, PushOptions, push
from hfcompress.hub.repository import full_name
from hfcompress.hub.scan import scan
from hfcompress.pipeline.evidence import gather_evidence
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.gates import marked
from hfcompress.progress import SILENT, Progress
from hfcompress.recipe.loader import load_recipe
from hfcompress.recipe.publish import PublishConfig
from hfcompress.report.html import publishable_report
from hfcompress.report.plot import is_drawn_from
from hfcompress.results import Results


def publish_run(run: Path, target: PublishConfig, progress: Progress = SILENT, sign: Path | None = None) -> Pushed:
    """Publish what was made in a run and passed its gates; repeating it changes nothing.

    Args:
        run: the run folder, which no other process may change meanwhile.
        target: where to, and what.
        progress: hears of every further try.
        sign: a private key, PEM: the repository gets a signature of it.

    Raises:
        InputError: the folder holds no finished run, nothing of it may be published, it holds what must not leave this
            machine, or there is no token.
        PublishError: the Hub did not take it.
    """
    options = PushOptions(target.private, target.create_pr, target.revision, sign, target.replace)
    named = target.model_copy(update={"repo_id": full_name(target.repo_id, progress)})
    check_finished(run)
    with RunFolder(run).locked():
        return push(publication_of(run, named), named.repo_id, options, progress)


def publication_of(run: Path, target: PublishConfig) -> Publication:
    """The repository that a run would be. Asks nobody.

    Raises:
        InputError: the folder holds no finished run, or nothing of it may be published.
    """
    check_finished(run)
    facts = _judged(RunFacts.read(run))
    chosen = target.artifacts or default_choice(facts.results)
    # Without its namespace a repository is not known yet, and a card says so.
    repo_id = target.repo_id if "/" in target.repo_id else None
    evidence = gather_evidence(RunFolder(run), facts.results)

    def report(results: Results, recipe: str) -> bytes:
        return publishable_report(results, evidence, recipe, examples=target.examples)

    return layout(facts, chosen, repo_id, report, _plot(run, facts.results), serving=target.serving)


def _judged(facts: RunFacts) -> RunFacts:
    """A mark alone lets nothing through: the verdicts of every gate have to say the same."""
    results = facts.results
    allowed = marked(facts.recipe, results.artifacts, results.gates)
    both = [
        now.model_copy(update={"publishable": now.publishable and before.publishable})
        for now, before in zip(allowed, results.artifacts, strict=True)
    ]
    return replace(facts, results=results.model_copy(update={"artifacts": tuple(both)}))


def _plot(run: Path, results: Results) -> bytes | None:
    """The picture in the folder, where it is one of these results."""
    path = run / PLOT
    content = path.read_bytes() if path.is_file() else None
    return content if content is not None and is_drawn_from(content, results) else None


def card_of(run: Path, target: PublishConfig) -> str:
    """README.md of `publication_of`.

    Raises:
        InputError: as `publication_of`.
    """
    content = next(file.content for file in publication_of(run, target) if file.path == README)
    return content.read_text(encoding="utf-8") if isinstance(content, Path) else content.decode("utf-8")


def preview(run: Path, target: PublishConfig) -> Publication:
    """What `publish_run` would send, but for a signature, looked through as it would be.

    Raises:
        InputError: as `publish_run`.
    """
    check_finished(run)
    with RunFolder(run).locked():
        publication = publication_of(run, target)
        scan(publication)
    return publication


def target_of(run: Path) -> PublishConfig | None:
    """Where the recipe of a run says that it is to be published.

    Raises:
        InputError: the folder holds no run.
    """
    check_finished(run)
    return load_recipe(RunFolder(run).recipe).publish


def check_finished(run: Path) -> None:
    """Refuse a folder without results.

    Raises:
        InputError: what it lacks.
    """
    folder = RunFolder(run)
    lacking = next((path for path in (folder.results, folder.recipe) if not path.is_file()), None)
    if lacking is not None:
        raise InputError(f"{run} holds no finished run: {lacking.name} is missing; run the recipe first")
