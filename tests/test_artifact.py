"""An artifact is whole or absent, and says what it is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.artifact import (
    MANIFEST,
    FileEntry,
    Manifest,
    check_replaceable,
    damage,
    digest_of,
    hash_file,
    hash_folder,
    max_length_of,
    model_bytes,
    model_digest,
    read_manifest,
    write_manifest,
    writing,
)
from hfcompress.errors import InputError


def fill(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "artifact"
    with writing(target) as temporary:
        fill(temporary, a="1", sub__b="2")
        assert not target.exists()
        assert temporary.parent == target.parent, "a rename within one folder is atomic"
    assert contents(target) == {"a": "1", "sub/b": "2"}
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    fill(tmp_path / "artifact", old="old")
    with writing(tmp_path / "artifact") as temporary:
        fill(temporary, new="new")
    assert contents(tmp_path / "artifact") == {"new": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_folder_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    fill(tmp_path / "artifact", old="old")

    def stop_in_the_middle() -> None:
        with writing(tmp_path / "artifact") as temporary:
            fill(temporary, new="new")
            raise error

    with pytest.raises(error):
        stop_in_the_middle()
    assert contents(tmp_path / "artifact") == {"old": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


KILLED = """
import sys, time
from pathlib import Path
from hfcompress.artifact import writing
with writing(Path(sys.argv[1])) as temporary:
    (temporary / "half").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_the_old_folder_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    fill(tmp_path / "artifact", old="old")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "artifact")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=20) == -signal.SIGKILL
    assert contents(tmp_path / "artifact") == {"old": "old"}
    assert len(list(tmp_path.iterdir())) == 2, "the half-written folder is left beside it"

    with writing(tmp_path / "artifact") as temporary:
        assert not list(temporary.iterdir()), "and is empty for the next one"
        fill(temporary, new="new")
    assert contents(tmp_path) == {"artifact/new": "new"}


REPLACED = """
import sys
from pathlib import Path
from hfcompress.artifact import writing
for turn in range(100000):
    with writing(Path(sys.argv[1])) as temporary:
        for name in "abc":
            (temporary / name).write_text(str(turn))
    print(turn, flush=True)
"""


def test_whenever_a_process_is_killed_the_folder_is_whole_or_absent(tmp_path: Path) -> None:
    for turn in range(4):
        command = [sys.executable, "-c", REPLACED, str(tmp_path / "artifact")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.013 * turn)
            process.send_signal(signal.SIGKILL)
        if (tmp_path / "artifact").exists():
            found = contents(tmp_path / "artifact")
            assert set(found) == {"a", "b", "c"}
            assert len(set(found.values())) == 1


NAMES = st.text("abcxyz_-.0", min_size=1, max_size=6).filter(lambda name: name.strip(".") == name)
FILES = st.dictionaries(NAMES, st.binary(max_size=20), max_size=4)


def entries(files: dict[str, bytes], folder: Path) -> dict[str, FileEntry]:
    folder.mkdir()
    for name in sorted(files, reverse=True):
        (folder / name).write_bytes(files[name])
    return hash_folder(folder)


@settings(deadline=None, max_examples=50)
@given(first=FILES, second=FILES)
def test_the_digest_depends_on_names_and_contents_only(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    here, there = (entries(files, tmp_path_factory.mktemp("x") / "files") for files in (first, second))
    assert (digest_of(here) == digest_of(there)) == (first == second)


def test_the_digest_does_not_depend_on_order_place_or_date(tmp_path: Path) -> None:
    files = {"b": b"2", "a": b"1"}
    here, there = entries(files, tmp_path / "here"), entries(files, tmp_path / "there")
    assert digest_of(dict(reversed(here.items()))) == digest_of(there)


def test_a_file_is_hashed_as_the_standard_library_does(tmp_path: Path) -> None:
    import hashlib

    content = bytes(range(256)) * 9000  # more than one chunk
    (tmp_path / "file").write_bytes(content)
    assert hash_file(tmp_path / "file") == FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def test_a_folder_is_hashed_below_without_manifest_and_hidden_files(tmp_path: Path) -> None:
    fill(tmp_path, b="b", a__c="c", manifest__json="x", _hidden="h")
    (tmp_path / MANIFEST).write_text("{}")
    fill(tmp_path, **{".git__config": "x", ".cache": "x"})
    assert list(hash_folder(tmp_path)) == sorted(["_hidden", "a/c", "b", "manifest/json"])


def manifest(folder: Path, **changes: Any) -> Manifest:
    return Manifest(
        **{
            "name": "student",
            "stage": "distill",
            "format": "torch",
            "task": "text-classification",
            "files": hash_folder(folder),
            "key": "k" * 64,
            "recipe": {"distill": {"temperature": 2.0, "text": "Zürich"}},
            "parents": {"teacher": "d" * 64},
            "versions": {"torch": "2.13.0"},
            "seed": 0,
            "host": {"cpu": "a CPU"},
            "details": {"losses": [{"step": 1, "loss": 0.5}]},
            **changes,
        }
    )


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    fill(tmp_path, model="weights")
    written = manifest(tmp_path)
    write_manifest(tmp_path, written)
    assert read_manifest(tmp_path) == written
    assert json.loads((tmp_path / MANIFEST).read_text())["schema"] == "hfcompress.manifest/1"
    assert str(tmp_path) not in (tmp_path / MANIFEST).read_text()


def test_a_folder_without_a_manifest_has_none(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    assert read_manifest(tmp_path / "absent") is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"schema": "hfcompress.manifest/1", "x": 1}'])
def test_what_is_no_manifest_is_an_input_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json is not a manifest of hfcompress"):
        read_manifest(tmp_path)


def test_a_folder_as_it_was_written_has_no_damage(tmp_path: Path) -> None:
    fill(tmp_path, a="1", sub__b="2")
    made = manifest(tmp_path)
    write_manifest(tmp_path, made)
    assert damage(tmp_path, made) is None


def test_damage_is_found_and_named(tmp_path: Path) -> None:
    fill(tmp_path, a="1", sub__b="2")
    made = manifest(tmp_path)
    fill(tmp_path, c="3")
    assert damage(tmp_path, made) == "c was added"
    fill(tmp_path, sub__b="3")
    assert damage(tmp_path, made) == "sub/b has changed"
    (tmp_path / "a").unlink()
    assert damage(tmp_path, made) == "a is missing"


def test_the_models_bytes_are_its_weights_and_graph(tmp_path: Path) -> None:
    sizes = {"model.safetensors": 5, "onnx/model.onnx": 7, "onnx/model.onnx_data": 11, "tokenizer.json": 100}
    for name, size in sizes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    assert model_bytes(tmp_path) == 5 + 7 + 11


def digests(**sha256: str) -> dict[str, FileEntry]:
    return {name.replace("__", "."): FileEntry(sha256=digest, size=1) for name, digest in sha256.items()}


def test_a_model_of_openvino_is_an_xml_and_the_bin_beside_it_whatever_they_are_called() -> None:
    named = digests(openvino_model__xml="1", openvino_model__bin="2", config__json="3")
    assert model_digest(named) == model_digest(digests(model__xml="1", model__bin="2", openvino_tokenizer__xml="4"))
    assert model_digest(named) != model_digest(digests(model__xml="1", model__bin="5"))
    assert model_digest(digests(model__xml="1", other__bin="2")) == model_digest(digests(model__xml="1"))


def test_nothing_has_no_digest() -> None:
    assert model_digest(digests(pytorch_model__bin="1", config__json="2")) is None


def test_the_bytes_of_a_model_of_openvino_are_counted_by_the_same_rule(tmp_path: Path) -> None:
    for name in ("any.xml", "any.bin", "other.bin", "openvino_tokenizer.xml", "openvino_tokenizer.bin"):
        (tmp_path / name).write_bytes(b"x" * 5)
    assert model_bytes(tmp_path) == 10


def test_an_output_folder_that_may_be_replaced_passes(tmp_path: Path) -> None:
    source = fill(tmp_path / "model", **{"config.json": "{}"})
    check_replaceable(tmp_path / "new", source)
    (tmp_path / "empty").mkdir()
    check_replaceable(tmp_path / "empty", source)
    check_replaceable(fill(tmp_path / "earlier", **{"config.json": "{}"}), source)


@pytest.mark.parametrize(
    "out, message",
    [
        ("model", "holds the source"),
        (".", "holds the source"),
        ("model/fixed", "lies in the source"),
        ("photos", "no model folder and not empty"),
        ("file", "is a file"),
    ],
)
def test_an_output_folder_whose_loss_would_hurt_is_refused(tmp_path: Path, out: str, message: str) -> None:
    source = fill(tmp_path / "model", **{"config.json": "{}"})
    fill(tmp_path / "photos", holiday="x")
    fill(tmp_path, file="x")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=message):
        check_replaceable(tmp_path / out, source)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("value", ["abc", "12", 0, True, 1.5])
def test_a_length_that_is_none_is_refused_with_its_manifest(value: object) -> None:
    with pytest.raises(
        InputError, match=r"model/manifest\.json says max_length .*, which should be a number of tokens"
    ):
        max_length_of({"max_length": value}, Path("model"))
    assert max_length_of({"max_length": 64}, Path("model")) == 64
    assert max_length_of({}, Path("model")) is None
