"""What a card is made from, and what follows from it: where weights come from, and what was made on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hfcompress.artifact import Manifest
from hfcompress.hub.local_paths import published_name
from hfcompress.hub.places import Placed
from hfcompress.hub.published import is_repo_id
from hfcompress.recipe.graph import inputs_of
from hfcompress.recipe.recipe import SOURCE, Recipe
from hfcompress.recipe.schema import ModelRef
from hfcompress.results import ArtifactResult, Results, SourceModel


@dataclass(frozen=True)
class CardFacts:
    """Everything that a card says.

    Attributes:
        results: what was measured, as published.
        recipe: as it was run.
        placed: the published artifacts, the preferred ones first.
        manifests: stage -> what its artifact's manifest says; of those that are not published too.
        repo_id: where it will be; None: not known yet.
        beside: paths of the documents that are published with it.
        problem: of a classification, as Transformers has it; else None.
    """

    results: Results
    recipe: Recipe
    placed: tuple[Placed, ...]
    manifests: Mapping[str, Manifest]
    repo_id: str | None
    beside: frozenset[str]
    problem: str | None = None

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.results.recipe if self.repo_id is None else self.repo_id.rpartition("/")[2]

    @property
    def root(self) -> Placed | None:
        """The artifact whose weights Transformers loads by the repository's name."""
        return next((artifact for artifact in self.placed if artifact.model.endswith(".safetensors")), None)

    @property
    def main(self) -> Placed:
        """The artifact that the card speaks of first: the first INT8 one, else the first."""
        return next((artifact for artifact in self.placed if artifact.quantized), self.placed[0])

    @property
    def published(self) -> tuple[ArtifactResult, ...]:
        """What was measured of the published artifacts, in the order of the recipe."""
        names = {artifact.name for artifact in self.placed}
        return tuple(artifact for artifact in self.results.artifacts if artifact.name in names)

    @property
    def history(self) -> tuple[str, ...]:
        """The stages that the published artifacts are made by, in the order of the recipe."""
        needed: set[str] = set()
        waiting = [artifact.name for artifact in self.placed]
        while waiting:
            name = waiting.pop()
            if name not in needed and name in self.recipe.stages:
                needed.add(name)
                waiting += inputs_of(self.recipe, name).artifacts
        return tuple(name for name in self.recipe.stages if name in needed)

    @property
    def trained(self) -> bool:
        """Whether a stage trained weights on the way."""
        return any(self.recipe.stages[name].config.trains for name in self.history)

    @property
    def bases(self) -> tuple[SourceModel, ...]:
        """The models from outside that published weights come from."""
        source = SourceModel(name=SOURCE, id=published_name(self.recipe.model.id), local=True)  # of older results
        known = {SOURCE: source} | {model.name: model for model in self.results.models}
        names = dict.fromkeys(_weights_of(self.recipe, artifact.name) for artifact in self.placed)
        return tuple(known[name] for name in names if name in known)


def hub_ids(models: tuple[SourceModel, ...]) -> tuple[str, ...]:
    """The models that the Hub knows: by their own id, or, of a local folder, by what its card names as its base."""
    found = [name for model in models for name in (model.base_models if model.local else (model.id,))]
    return tuple(name for name in dict.fromkeys(found) if is_repo_id(name))


def _weights_of(recipe: Recipe, name: str) -> str | None:
    """The name of the model from outside whose weights an artifact began with; None for random ones."""
    while name != SOURCE:
        student = getattr(recipe.stages[name].config, "student", None)
        if student is not None and student.config is not None:
            return None
        start = inputs_of(recipe, name).student
        if isinstance(start, ModelRef):
            return published_name(start.id if start.revision is None else f"{start.id}@{start.revision}")
        name = recipe.source_of(name) if start is None else start
    return SOURCE
