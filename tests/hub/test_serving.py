"""Serving files in a published repository: of what is published, only where that is wanted, and used by `load`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hfcompress import load
from hfcompress.artifact import Manifest, hash_folder
from hfcompress.errors import InputError
from hfcompress.hub.places import place
from hfcompress.hub.publication import Publication, PublishedArtifact, RepositoryManifest
from hfcompress.hub.published import PublishedModel
from hfcompress.hub.scan import scan
from hfcompress.pipeline.publish import publication_of
from hfcompress.recipe.publish import PublishConfig
from hfcompress.results.serving import LeftOut, read_serving, write_serving
from hfcompress.runtimes.serving import find_serving, serving_path
from tests.hub.finished_run import write_run
from tests.tune.serving import serving_of


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run in which `int8` and `onnx` were tuned."""
    folder = write_run(tmp_path / "run")
    for name in ("onnx", "int8"):
        artifact = folder / "artifacts" / name
        said = serving_of(artifact, left_out=(LeftOut(what="x", reason="/home/me/lib.so is missing"),))
        write_serving(said, serving_path(artifact, said.host))
    return folder


def published(run: Path, **wanted: bool) -> Publication:
    return publication_of(run, PublishConfig(repo_id="a/b", artifacts=("int8",), **wanted))  # type: ignore[arg-type]


def test_files_of_what_is_published_are_in_it_where_the_recipe_says_so(run: Path, tmp_path: Path) -> None:
    assert not any(file.path.startswith("serving/") for file in published(run))
    publication = published(run, serving=True)
    (file,) = [file for file in publication if file.path.startswith("serving/")]
    (of_run,) = (run / "serving").glob("int8-*.json")
    assert file.path == f"serving/{of_run.name}"
    assert isinstance(file.content, bytes)
    (tmp_path / "copy.json").write_bytes(file.content)
    assert read_serving(tmp_path / "copy.json") == read_serving(of_run).model_copy(update={"left_out": ()})
    manifest = json.loads(next(file.content for file in publication if file.path == "manifest.json"))
    assert file.path in manifest["files"]
    scan(publication)


def test_a_damaged_file_is_an_error_that_names_it(run: Path) -> None:
    next((run / "serving").glob("int8-*.json")).write_text("{}")
    with pytest.raises(InputError, match=r"int8-\w+\.json is not a serving file"):
        published(run, serving=True)


def test_load_uses_the_file_of_a_repository_though_it_has_other_names(classifier: Path, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(classifier, tmp_path / "artifact"))
    said = serving_of(artifact)
    root = Path(shutil.copytree(artifact, tmp_path / "repository"))
    (root / "README.md").write_text("a card")
    student = PublishedArtifact(
        files=tuple(hash_folder(artifact)), stage="distill", format="torch", task="text-classification", key="k",
        recipe={}, parents={}, versions={}, seed=0, host={},
    )  # fmt: skip
    manifest = RepositoryManifest(files=hash_folder(root), artifacts={"student": student})
    (root / "manifest.json").write_text(manifest.model_dump_json(by_alias=True))
    assert load(root).serving is None
    write_serving(said, root / "serving" / f"other-name-{said.host}.json")
    assert load(root).serving == said.latency


@pytest.mark.parametrize("name", ["int8", "second"])
def test_the_file_of_an_openvino_artifact_is_found_under_the_names_of_a_repository(name: str, tmp_path: Path) -> None:
    manifests = [ir_artifact(tmp_path / each, each) for each in ("int8", "second")]
    placed = {each.name: each for each in place(manifests, frozenset({"int8", "second"}))}[name]
    assert placed.model != "openvino_model.xml"
    said = serving_of(tmp_path / name, "openvino:CPU", format="openvino")
    other = serving_of(tmp_path / ({"int8", "second"} - {name}).pop(), "openvino:CPU", format="openvino")
    root = tmp_path / "repository"
    for source, target in placed.files.items():
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tmp_path / name / source, root / target)
    for number, each in enumerate((other, said)):
        write_serving(each, root / "serving" / f"{number}-{each.host}.json")
    published = PublishedArtifact(
        **placed.manifest.model_dump(exclude={"schema_", "name", "files"}), files=tuple(placed.files.values())
    )
    assert find_serving((root / "serving",), PublishedModel(root, published).files) == said


def ir_artifact(folder: Path, name: str) -> Manifest:
    """INT8 in OpenVINO's format, with small files in place of a model."""
    folder.mkdir()
    for file in ("config.json", "openvino_model.xml", "openvino_model.bin"):
        (folder / file).write_text(f"{file} of {name}" if "model" in file else "{}")
    return Manifest(
        name=name, files=hash_folder(folder), stage="quantize", format="openvino", task="text-classification", key="k",
        recipe={}, parents={}, versions={}, seed=0, host={},
    )  # fmt: skip
