"""Where a model comes from, and what of that nothing says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hfcompress.artifact import Manifest
from hfcompress.hub.publication import PublishedArtifact


def missing_from_manifest(name: str, manifest: Manifest | PublishedArtifact) -> list[str]:
    """What the manifest of an artifact should say of how it was made, and does not."""
    said = {
        "the recipe's part that made it": manifest.recipe,
        "the key of its stage": manifest.key,
        "the digests of what it was made from": manifest.parents,
        "the versions of the libraries": manifest.versions and all(manifest.versions.values()),
        "the host's CPU": manifest.host.get("cpu"),
        "the versions on the host": manifest.host.get("versions"),
    }
    return [f"{name}: {what}" for what, value in said.items() if not value]


def missing_from_results(results: Mapping[str, Any] | None, parents: Iterable[Mapping[str, str]]) -> list[str]:
    """What `results.json` should say of the run, and does not.

    Args:
        results: its content, as plain data: a later version may say more. None: there is no such file.
        parents: of each artifact, name -> digest.
    """
    if results is None:
        return ["the base model's revision, and the digests of the data (results.json)"]
    missing = _missing_models(_mappings(results.get("models")), {name for names in parents for name in names})
    data = results.get("data")
    splits = data.get("splits") if isinstance(data, Mapping) else None
    digests = [split.get("digest") for split in _mappings(list(splits.values()))] if isinstance(splits, Mapping) else []
    if not digests or not all(digests):
        missing.append("the digests of the data (results.json: data.splits)")
    if not results.get("recipe_sha256"):
        missing.append("the recipe that was measured (results.json: recipe_sha256)")
    if not results.get("hfcompress"):
        missing.append("the version of hfcompress that ran (results.json: hfcompress)")
    if not isinstance(results.get("seed"), int):
        missing.append("the seed (results.json: seed)")
    if not results.get("hosts"):
        missing.append("the host that measured (results.json: hosts)")
    return missing


def _missing_models(models: list[Mapping[str, Any]], parents: set[str]) -> list[str]:
    """A model of the Hub is known by its commit; a local folder by its digest, here or where an artifact names it."""
    if not models:
        return ["the base model and its revision (results.json: models)"]
    return [
        f"the {'digest' if model.get('local') else 'revision'} of {model.get('id')} (results.json: models)"
        for model in models
        if not (model.get("digest") or model.get("revision") or (model.get("local") and model.get("name") in parents))
    ]


def _mappings(values: Any) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []
