"""From a run to a whole repository: files, results and recipe without folders of this machine, card and manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hfcompress.artifact import FileEntry, Manifest, damage, digest_of, hash_file, read_manifest
from hfcompress.errors import InputError
from hfcompress.hub.card import render_card
from hfcompress.hub.card_facts import CardFacts
from hfcompress.hub.local_paths import without_local_paths
from hfcompress.hub.places import Placed, place
from hfcompress.hub.publication import Publication, PublishedArtifact, PublishedFile, RepositoryManifest
from hfcompress.hub.published import is_repo_id
from hfcompress.hub.serving import published_serving
from hfcompress.models.folder import problem_of, read_config
from hfcompress.recipe.loader import dump_recipe, load_recipe, parse_recipe, recipe_sha256
from hfcompress.recipe.recipe import Recipe
from hfcompress.recipe.yaml_text import write_yaml
from hfcompress.results import ArtifactResult, Results, read_results

README, MANIFEST, RESULTS, RECIPE, PLOT, REPORT = (
    *("README.md", "manifest.json", "results.json"),
    *("recipe.yaml", "pareto.png", "report.html"),
)


@dataclass(frozen=True)
class RunFacts:
    """A run, as far as publishing knows it.

    Attributes:
        root: the run folder.
        results: what was measured.
        recipe: the recipe, as it was run.
    """

    root: Path
    results: Results
    recipe: Recipe

    @classmethod
    def read(cls, root: Path) -> RunFacts:
        """The facts of a run folder.

        Raises:
            InputError: it holds no results or no recipe.
        """
        return cls(root, read_results(root / RESULTS), load_recipe(root / RECIPE))

    def folder(self, artifact: str) -> Path:
        """Where an artifact lies that this run made."""
        return self.root / str(self.results.artifact(artifact).path)


#: Makes report.html of results and recipe as they are published.
Report = Callable[[Results, str], bytes]


def layout(
    run: RunFacts,
    chosen: Sequence[str],
    repo_id: str | None,
    report: Report | None = None,
    plot: bytes | None = None,
    *,
    serving: bool = False,
) -> Publication:
    """What a repository is to hold, README.md and manifest.json included. Equal runs give equal bytes.

    Args:
        run: the run.
        chosen: artifacts, by preference: see `places.place`.
        repo_id: where it will be, for the card; None: not known yet.
        report: makes report.html; None: there is none.
        plot: pareto.png; None: there is none.
        serving: whether the serving files of these artifacts are in it.

    Raises:
        InputError: an artifact was not made, must not be published, or is not the one that was measured; the results
            are not of this recipe; a serving file is damaged; or nothing is chosen.
    """
    _check_target(run, chosen, repo_id)
    placed = _placed(run, chosen)
    text = _recipe(run.recipe)
    results = _published_results(run.results, placed, text)
    documents = [
        PublishedFile(RESULTS, _json(results.model_dump(mode="json", by_alias=True))),
        PublishedFile(RECIPE, text.encode()),
        *([] if plot is None else [PublishedFile(PLOT, plot)]),
        *([] if report is None else [PublishedFile(REPORT, report(results, text))]),
        *(published_serving(run.root, placed) if serving else []),
    ]
    card = PublishedFile(README, render_card(_card_facts(run, results, placed, repo_id, documents)).encode())
    return _with_manifest(run, placed, [*documents, card])


def _check_target(run: RunFacts, chosen: Sequence[str], repo_id: str | None) -> None:
    if run.results.recipe_sha256 != recipe_sha256(dump_recipe(run.recipe)):
        raise InputError(
            f"{run.root / RESULTS} is not of the recipe beside it: a later run with another one did not end; run the "
            "recipe again, which measures and judges what has changed"
        )
    if not chosen:
        raise InputError(
            f"nothing of {run.root} may be published: of every artifact, or of what it is made from, a gate failed or "
            "was not judged; `hfcompress report` says which"
        )
    if repo_id is not None and not is_repo_id(repo_id):
        raise InputError(f"no repository can be called {repo_id!r}; give namespace/name")


def _card_facts(
    run: RunFacts,
    results: Results,
    placed: tuple[Placed, ...],
    repo_id: str | None,
    documents: Sequence[PublishedFile],
) -> CardFacts:
    return CardFacts(
        results=results,
        recipe=run.recipe,
        placed=placed,
        manifests=_manifests(run),
        repo_id=repo_id,
        beside=frozenset(file.path for file in documents),
        problem=_problem(run, placed[0]),
    )


def _with_manifest(run: RunFacts, placed: Sequence[Placed], documents: Sequence[PublishedFile]) -> Publication:
    files, entries = _artifact_files(run, placed)
    files += documents
    _check_unique(files)
    entries |= {file.path: _entry(file) for file in files if file.path not in entries}
    manifest = RepositoryManifest(files=dict(sorted(entries.items())), artifacts=_artifacts(placed))
    files.append(PublishedFile(MANIFEST, _json(manifest.model_dump(mode="json", by_alias=True))))
    title = f"{run.results.recipe}: {', '.join(artifact.name for artifact in placed)}"
    return Publication(title, tuple(sorted(files, key=lambda file: file.path)))


def _placed(run: RunFacts, chosen: Sequence[str]) -> tuple[Placed, ...]:
    results = [_publishable(run.results, name) for name in chosen]
    manifests = [_manifest(run.folder(result.name), result) for result in results]
    return place(manifests, frozenset(result.name for result in results if result.integer_operators))


def _publishable(results: Results, name: str) -> ArtifactResult:
    artifact = results.artifact(name)
    if artifact.path is None:
        raise InputError(f"{name} is the model that the recipe starts from, which this run did not make; leave it out")
    if artifact.stage == "engine":
        raise InputError(
            f"{name} holds engines for one kind of GPU, which run nowhere else and which nobody should load from "
            f"somebody else; publish {artifact.parents[0] if artifact.parents else 'the graph'}, which it is built from"
        )
    if not artifact.publishable:
        raise InputError(
            f"{name} must not be published: a gate of it, or of what it is made from, failed or was not judged; leave "
            "it out, or change the recipe and run it again"
        )
    return artifact


def _manifest(folder: Path, artifact: ArtifactResult) -> Manifest:
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputError(f"{folder} has no manifest.json, so it is no artifact of this run; run the recipe again")
    fault = damage(folder, manifest)
    if fault is not None:
        raise InputError(f"in {folder} {fault} since it was measured; run the recipe again, which makes it anew")
    if digest_of(manifest.files) != artifact.digest:  # of a run that was stopped before it measured what it made
        raise InputError(
            f"{folder} is not the {artifact.name} that was measured; run the recipe again, which measures what has "
            "changed"
        )
    return manifest


def _manifests(run: RunFacts) -> dict[str, Manifest]:
    """Of every stage whose artifact is there."""
    made = [result.name for result in run.results.artifacts if result.path is not None]
    found = {name: read_manifest(run.folder(name)) for name in made}
    return {name: manifest for name, manifest in found.items() if manifest is not None}


def _problem(run: RunFacts, artifact: Placed) -> str | None:
    """What a classification answers."""
    if run.recipe.task not in ("text-classification", "image-classification"):
        return None
    return problem_of(read_config(run.folder(artifact.name)))


def _published_results(results: Results, placed: Sequence[Placed], recipe: str) -> Results:
    """With paths in the repository, the sha256 of the recipe as it is published, and without the seconds of the last
    run, which differ for equal artifacts."""
    paths = {artifact.name: artifact.model for artifact in placed}
    artifacts = [artifact.model_copy(update={"path": paths.get(artifact.name)}) for artifact in results.artifacts]
    changes = {"artifacts": tuple(artifacts), "seconds": {}, "recipe_sha256": recipe_sha256(recipe)}
    kept = results.model_copy(update=changes)
    return Results.model_validate(without_local_paths(kept.model_dump(mode="json", by_alias=True)))


def _recipe(recipe: Recipe) -> str:
    """Canonical YAML, checked to be a recipe still."""
    text = write_yaml(without_local_paths(recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True)))
    parse_recipe(text, "the published recipe")
    return text


def _artifact_files(run: RunFacts, placed: Sequence[Placed]) -> tuple[list[PublishedFile], dict[str, FileEntry]]:
    files: dict[str, PublishedFile] = {}
    entries: dict[str, FileEntry] = {}
    for artifact in placed:
        for name, path in artifact.files.items():
            files.setdefault(path, PublishedFile(path, run.folder(artifact.name) / name))
            entries.setdefault(path, artifact.manifest.files[name])
    return list(files.values()), entries


def _artifacts(placed: Sequence[Placed]) -> dict[str, PublishedArtifact]:
    return {artifact.name: _published_artifact(artifact) for artifact in placed}


def _published_artifact(artifact: Placed) -> PublishedArtifact:
    said = artifact.manifest.model_dump(mode="json", exclude={"schema_", "name", "files"})
    return PublishedArtifact(files=tuple(sorted(artifact.files.values())), **without_local_paths(said))


def _entry(file: PublishedFile) -> FileEntry:
    if isinstance(file.content, Path):
        return hash_file(file.content)
    return FileEntry(sha256=hashlib.sha256(file.content).hexdigest(), size=file.size)


def _check_unique(files: Sequence[PublishedFile]) -> None:
    paths = [file.path for file in files]
    twice = sorted({path for path in paths if paths.count(path) > 1 or path == MANIFEST})
    if twice:
        raise InputError(f"{', '.join(twice)} would be published twice; leave one of them out")


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
