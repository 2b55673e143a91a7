"""Small whole artifacts, runs and repositories, made by hand: verified, damaged, signed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hfcompress.artifact import Manifest, digest_of, hash_file, hash_folder, write_manifest
from hfcompress.hub.publication import Publication, PublishedArtifact, PublishedFile, RepositoryManifest
from hfcompress.recipe.loader import recipe_sha256

DIGEST = "0123456789abcdef" * 4
COMMIT = "0123456789abcdef0123456789abcdef01234567"
#: A file of safetensors without tensors, and a graph of IR version 8 without nodes.
WEIGHTS, GRAPH = b"\x02" + b"\0" * 7 + b"{}", b"\x08\x08"
SAID: dict[str, Any] = {
    "stage": "distill",
    "format": "torch",
    "task": "text-classification",
    "key": DIGEST,
    "recipe": {"distill": {}},
    "parents": {"source": DIGEST},
    "versions": {"torch": "2.13.0"},
    "seed": 0,
    "host": {"cpu": "a CPU", "versions": {"torch": "2.13.0"}},
}
RECIPE = "name: a-run\n"
RESULTS: dict[str, Any] = {
    "schema": "hfcompress.results/1",
    "models": [{"name": "source", "id": "some/base", "local": False, "revision": COMMIT}],
    "data": {"path": "some/data", "splits": {"train": {"name": "train", "rows": 9, "digest": DIGEST}}},
    "seed": 0,
    "recipe_sha256": recipe_sha256(RECIPE),
    "hfcompress": "0.1.0",
    "hosts": {"here": {"cpu": "a CPU"}},
}


def make_artifact(folder: Path, **said: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}\n")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    manifest = Manifest(name=folder.name, files=hash_folder(folder), **{**SAID, **said})
    write_manifest(folder, manifest)
    return folder


def make_run(folder: Path, **results: Any) -> Path:
    """A run with the artifacts `student` and `onnx`."""
    measured = []
    for name in ("student", "onnx"):
        made = make_artifact(folder / "artifacts" / name)
        measured.append({"name": name, "path": f"artifacts/{name}", "digest": digest_of(hash_folder(made))})
    (folder / "results.json").write_text(json.dumps({**RESULTS, "artifacts": measured, **results}))
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


def make_repository(folder: Path, results: dict[str, Any] | None = RESULTS, **said: Any) -> Path:
    contents = {
        "README.md": b"# A model\n",
        "config.json": b"{}\n",
        "model.safetensors": WEIGHTS,
        "onnx/model.onnx": GRAPH,
        "recipe.yaml": RECIPE.encode(),
        **({} if results is None else {"results.json": json.dumps(results).encode()}),
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    student = PublishedArtifact(files=("config.json", "model.safetensors"), **{**SAID, **said})
    files = {name: hash_file(folder / name) for name in sorted(contents)}
    manifest = RepositoryManifest(files=files, artifacts={"student": student})
    (folder / "manifest.json").write_text(json.dumps(manifest.model_dump(mode="json", by_alias=True)))
    return folder


def publication_of(folder: Path) -> Publication:
    """A repository as it is before it is pushed: some files on disk, some in memory."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "model.sig")
    files = [
        PublishedFile(path.relative_to(folder).as_posix(), path.read_bytes() if path.suffix == ".json" else path)
        for path in paths
    ]
    return Publication("a model", tuple(files))
