from __future__ import annotations

import json
from pathlib import Path

import pytest

from hfcompress.errors import InputError
from hfcompress.hub.publication import PublishedArtifact, RepositoryManifest
from hfcompress.hub.published import PublishedModel, choose, is_repo_id, read_repository_manifest


def artifact(*files: str, format: str = "onnx") -> PublishedArtifact:
    return PublishedArtifact(
        files=files, stage="quantize", format=format, task="text-classification", key="k", recipe={}, parents={},
        versions={}, seed=0, host={},
    )  # fmt: skip


def write(folder: Path, **artifacts: PublishedArtifact) -> Path:
    manifest = RepositoryManifest(files={}, artifacts=artifacts)
    (folder / "manifest.json").write_text(manifest.model_dump_json(by_alias=True), encoding="utf-8")
    return folder


def test_an_artifact_knows_its_graph_and_its_tokenizer(tmp_path: Path) -> None:
    shared = PublishedModel(tmp_path, artifact("config.json", "onnx/model_quantized.onnx", "onnx/ort_config.json"))
    assert (shared.folder, shared.model) == (tmp_path, tmp_path / "onnx" / "model_quantized.onnx")
    alone = PublishedModel(
        tmp_path, artifact("artifacts/t/config.json", "artifacts/t/model.safetensors", format="torch")
    )
    assert alone.folder == alone.model == tmp_path / "artifacts" / "t"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "a\\b", ""])
def test_a_manifest_that_points_out_of_its_repository_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="which is no file of this repository"):
        read_repository_manifest(write(tmp_path, int8=artifact(name)))


def test_the_manifest_of_an_artifact_is_none_of_a_repository(tmp_path: Path) -> None:
    assert read_repository_manifest(tmp_path) is None
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": "hfcompress.manifest/1"}), encoding="utf-8")
    assert read_repository_manifest(tmp_path) is None


def test_a_manifest_that_says_nonsense_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"schema": "hfcompress.repository/1", "files": 3}', encoding="utf-8")
    with pytest.raises(InputError, match="is not a manifest of hfcompress"):
        read_repository_manifest(tmp_path)


def test_the_only_artifact_needs_no_name(tmp_path: Path) -> None:
    one = RepositoryManifest(files={}, artifacts={"int8": artifact("config.json")})
    assert choose(one, None, "here") is one.artifacts["int8"]


@pytest.mark.parametrize(
    "text, is_one", [("a/b", True), ("a", True), ("a/b/c", False), ("../b", False), ("a b", False)]
)
def test_repositories_have_names_of_their_own(text: str, is_one: bool) -> None:
    assert is_repo_id(text) is is_one
