"""What was changed, lost, added or never said is found, wherever it is."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfcompress.artifact import read_manifest
from hfcompress.errors import InputError
from hfcompress.hub.verify import downloaded, verify
from hfcompress.recipe.loader import recipe_sha256
from hfcompress.results import read_results
from tests.hub.published_folders import RECIPE, RESULTS, make_artifact, make_repository, make_run


def test_what_is_as_it_was_made_passes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for folder, kind, files in (
        (make_repository(tmp_path / "repository"), "repository", 6),
        (run, "run", 4),
        (run / "artifacts" / "student", "artifact", 2),
    ):
        found = verify(folder)
        assert (found.kind, found.files, found.faults, found.missing) == (kind, files, (), ())
        assert found.passed


def replace(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


class Payload:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("payload-ran",)


@pytest.mark.parametrize(
    "damage, fault",
    [
        (replace("README.md", b"# A mode1\n"), "README.md has changed"),
        (replace("README.md", b""), "README.md has 0 bytes in place of 10"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (replace("modeling.py", b"import os"), "modeling.py was added"),
        (replace("onnx/extra.bin", pickle.dumps(Payload())), "onnx/extra.bin was added"),
        (lambda folder: (folder / "link").symlink_to("/etc"), "link was added, a link that may lead anywhere"),
        (
            lambda folder: (folder / "link.json").symlink_to("/absent"),
            "link.json was added, a link that may lead anywhere",
        ),
        (replace(".hidden.py", b"import os"), ".hidden.py was added"),
        (replace("onnx/.config.json", b"{}"), "onnx/.config.json was added"),
        (replace("notes.txt", pickle.dumps(Payload())), "notes.txt was added"),
        (replace("vocab.txt", b"a"), "vocab.txt was added"),
        (replace(".gitattributes", b"*.onnx filter=lfs"), None),
    ],
)
def test_every_damage_of_a_repository_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], Any], fault: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_repository(tmp_path / "repository")
    damage(folder)
    assert verify(folder).faults == (() if fault is None else (fault,))
    assert not (tmp_path / "payload-ran").exists()


def test_every_byte_counts(tmp_path: Path) -> None:
    """A brute-force check: each bit of each file, flipped alone, is found."""
    folder = make_repository(tmp_path / "repository")
    for path in (folder / "model.safetensors", folder / "onnx" / "model.onnx"):
        whole = path.read_bytes()
        for place in range(len(whole)):
            for bit in range(8):
                path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
                assert verify(folder).faults == (f"{path.relative_to(folder)} has changed",)
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../outside", "..\\outside"])
def test_a_manifest_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    folder = make_repository(tmp_path / "repository")
    (tmp_path / "outside").write_text("x")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": "0" * 64, "size": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="which is no file of this repository"):
        verify(folder)
    artifact = make_artifact(tmp_path / "student")
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": "0" * 64, "size": 1}
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    assert verify(artifact).faults == (f"the manifest names {name!r}, which is outside of the folder",)


@pytest.mark.parametrize("name", ["LICENSE", "images/logo.png", ".hidden"])
def test_what_others_put_beside_the_files_is_told_and_no_fault(tmp_path: Path, name: str) -> None:
    folder = make_repository(tmp_path / "repository")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("of somebody else")
    found = verify(folder)
    assert found.passed
    assert found.notes == (name,)


@pytest.mark.parametrize("name", ["manifest.json", "results.json"])
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, name: str) -> None:
    folder = make_repository(tmp_path / "repository")
    (folder / name).write_text('{"schema": "x", ' + (folder / name).read_text().lstrip()[1:])
    with pytest.raises(InputError, match="the key 'schema' is there twice"):
        verify(folder)
    with pytest.raises(InputError, match="the key 'schema' is there twice"):
        read_manifest(folder) if name == "manifest.json" else read_results(folder / name)


def test_what_the_manifest_names_is_looked_into_all_the_same(tmp_path: Path) -> None:
    from hfcompress.artifact import hash_file

    folder = make_repository(tmp_path / "repository")
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, content in (
        ("vocab.txt", pickle.dumps(Payload())),
        ("training_args.pt", b""),
        ("more.safetensors", b"\xff" * 9),
        ("more.onnx", b"\x0f"),
    ):
        (folder / name).write_bytes(content)
        manifest["files"][name] = hash_file(folder / name).model_dump()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    onnx, weights, training, vocabulary = verify(folder).faults
    assert "more.onnx is no ONNX model" in onnx
    assert "more.safetensors says that its header has" in weights
    assert training == "training_args.pt is a pickle, which runs code when it is loaded"
    assert vocabulary == "vocab.txt is a pickle, which runs code when it is loaded"


def test_an_artifact_of_a_run_that_is_gone_or_another_one_is_named(tmp_path: Path) -> None:
    import shutil

    run = make_run(tmp_path / "run")
    shutil.rmtree(run / "artifacts" / "onnx")
    (run / "artifacts" / "student" / "config.json").write_text('{"a": 1}\n')
    assert verify(run).faults == (
        "artifacts/student: config.json has 9 bytes in place of 3",
        "artifacts/onnx is missing, which results.json measured",
    )
    shutil.rmtree(run / "artifacts" / "student")
    made = make_artifact(run / "artifacts" / "student")
    (made / "config.json").write_text("[]\n")
    manifest = json.loads((made / "manifest.json").read_text())
    from hfcompress.artifact import hash_file

    manifest["files"]["config.json"] = hash_file(made / "config.json").model_dump()
    (made / "manifest.json").write_text(json.dumps(manifest))
    assert verify(run).faults[0] == "artifacts/student is another one than results.json measured"


@pytest.mark.parametrize(
    "recipe, said",
    [
        ("name: another-run\n", "recipe.yaml is another one than results.json measured"),
        ("a: [", "recipe.yaml is not valid YAML"),
        (f"{RECIPE}publish: {{repo_id: me/x}}\n", None),
    ],
)
def test_results_of_another_recipe_are_named(tmp_path: Path, recipe: str, said: str | None) -> None:
    run = make_run(tmp_path / "run")
    (run / "recipe.yaml").write_text(recipe)
    repository = make_repository(tmp_path / "repository", {**RESULTS, "recipe_sha256": recipe_sha256("name: b")})
    assert verify(repository).faults == ("recipe.yaml is another one than results.json measured",)
    faults = verify(run).faults
    assert faults == () if said is None else faults[0].startswith(said)


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in RESULTS.items() if key not in keys}


BASE = {"name": "source", "id": "some/base", "local": False}


@pytest.mark.parametrize(
    "results, said, missing",
    [
        (None, {}, ["the base model's revision, and the digests of the data (results.json)"]),
        (without("models"), {}, ["the base model and its revision (results.json: models)"]),
        ({**RESULTS, "models": [BASE]}, {}, ["the revision of some/base (results.json: models)"]),
        ({**RESULTS, "models": [{**BASE, "local": True}]}, {}, []),
        (
            {**RESULTS, "models": [{**BASE, "local": True}]},
            {"parents": {"teacher": "0" * 64}},
            ["the digest of some/base (results.json: models)"],
        ),
        (without("data"), {}, ["the digests of the data (results.json: data.splits)"]),
        (without("recipe_sha256"), {}, ["the recipe that was measured (results.json: recipe_sha256)"]),
        (without("hfcompress"), {}, ["the version of hfcompress that ran (results.json: hfcompress)"]),
        (without("seed"), {}, ["the seed (results.json: seed)"]),
        (without("hosts"), {}, ["the host that measured (results.json: hosts)"]),
        (RESULTS, {"recipe": {}}, ["student: the recipe's part that made it"]),
        (RESULTS, {"key": ""}, ["student: the key of its stage"]),
        (RESULTS, {"parents": {}}, ["student: the digests of what it was made from"]),
        (RESULTS, {"versions": {"torch": ""}}, ["student: the versions of the libraries"]),
        (RESULTS, {"host": {}}, ["student: the host's CPU", "student: the versions on the host"]),
    ],
)
def test_what_nothing_says_of_the_origin_is_told(
    tmp_path: Path, results: dict[str, Any] | None, said: dict[str, Any], missing: list[str]
) -> None:
    found = verify(make_repository(tmp_path / "repository", results, **said))
    assert sorted(found.missing) == missing
    assert found.passed is (missing == [])


def test_a_folder_with_nothing_to_compare_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither a manifest\.json nor a results\.json"):
        verify(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema": "hfcompress.repository/1", "files": []}')
    with pytest.raises(InputError, match="is not a manifest of hfcompress"):
        verify(tmp_path)


def test_a_repository_is_downloaded_to_a_folder_that_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(repo_id: str, *, revision: str | None, local_dir: str) -> str:
        assert (repo_id, revision) == ("some/model", "main")
        make_repository(Path(local_dir))
        (Path(local_dir) / ".cache").mkdir()
        (Path(local_dir) / ".cache" / "note").write_text("what the client leaves")
        return local_dir

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with downloaded("some/model", "main") as folder:
        assert verify(folder).passed
    assert not folder.exists()


def test_a_repository_that_cannot_be_had_is_one_clear_error() -> None:
    with (
        pytest.raises(InputError, match=r"'no such model' is no local folder and could not be had"),
        downloaded("no such model"),
    ):
        pass


def test_the_command_says_what_is_wrong_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hfcompress.cli.app import app

    folder = make_repository(tmp_path / "repository")
    assert app(["verify", str(folder)], standalone_mode=False) == 0
    assert "6 files compared\nwhole, and its origin is accounted for\n" in capsys.readouterr().out
    (folder / "README.md").write_bytes(b"")
    assert app(["verify", str(folder), "--format", "json"], standalone_mode=False) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["passed"] is False
    assert printed["faults"] == ["README.md has 0 bytes in place of 10"]
