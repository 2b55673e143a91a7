"""What must not leave is found wherever it is, and named without being shown."""

from __future__ import annotations

import json
import os
import pickle
import random
import string
import time
import tracemalloc
from pathlib import Path

import pytest

from hfcompress.errors import LeakError
from hfcompress.hub.publication import Publication, PublishedFile
from hfcompress.hub.scan import findings, scan

#: Made here, so that no scanner of this repository takes it for a real one.
TOKEN = "hf_" + "".join(random.Random(0).choices(string.ascii_letters + string.digits, k=34))


def publication(**contents: bytes | Path) -> Publication:
    return Publication(
        "a model", tuple(PublishedFile(name.replace("__", "."), content) for name, content in contents.items())
    )


def test_a_publication_without_findings_passes(classifier: Path) -> None:
    files = tuple(PublishedFile(path.name, path) for path in sorted(classifier.iterdir()))
    held = Publication("a model", files)
    scan(held)
    assert list(findings(held)) == []


def test_one_error_names_every_finding_and_shows_no_token() -> None:
    held = publication(
        README__md=f"token {TOKEN}".encode(), notes__txt=b"/home/someone/models/bert", optimizer__pt=b"no pickle"
    )
    with pytest.raises(LeakError) as caught:
        scan(held)
    message = str(caught.value)
    assert TOKEN not in message
    assert "3 findings" in message
    assert "README.md: holds a Hugging Face token (hf_(hidden)) at byte 6" in message
    assert "notes.txt: holds a path of a machine (/home/someone/models/bert) at byte 0" in message
    assert "optimizer.pt: is state of a training run" in message


@pytest.mark.parametrize("place", [0, (1 << 20) - 40, (1 << 20) - 20, (1 << 20) - 1, 1 << 20, (3 << 20) + 7])
def test_a_token_is_found_wherever_it_lies_in_a_file_of_weights(tmp_path: Path, place: int) -> None:
    weights = bytearray(random.Random(place).randbytes((3 << 20) + 100))
    weights[place : place + len(TOKEN) + 2] = f"\0{TOKEN}\0".encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(weights)
    (found,) = findings(publication(model__safetensors=path))
    assert found.what == f"holds a Hugging Face token (hf_(hidden)) at byte {place + 1}"


def test_random_weights_look_like_nothing() -> None:
    assert findings(publication(model__safetensors=random.Random(0).randbytes(4 << 20))) == ()


def test_int8_weights_that_look_like_text_look_like_no_credential() -> None:
    letters = random.Random(0).choices(string.printable, k=1 << 18)
    assert findings(publication(model__onnx="".join(letters).encode())) == ()


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_under_another_name_is_known_by_its_content_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    (found,) = findings(publication(vocab__txt=pickle.dumps(Payload(), protocol)))
    assert "pickle" in found.what
    assert not list(tmp_path.iterdir())


def test_the_folders_of_this_user_are_known_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/people/someone")
    config = json.dumps({"_name_or_path": "/srv/people/someone/teacher", "other": "/srv/people/someone-else"})
    (found,) = findings(publication(config__txt=config.encode()))
    assert found.what == "holds a path of a machine (/srv/people/someone/teacher) at byte 19"


def test_the_folders_that_the_files_come_from_are_known(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"_name_or_path": str(tmp_path)}))
    (found,) = findings(publication(config__json=config))
    assert str(tmp_path) in found.what


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/home/someone/x",
        "see docs/home/index.md",
        "the /home/ page",
        "a path: ./tmp/x",
        "HOME sweet HOME: PATH=1",
        "task-specific-and-long-names-without-any-digit",
        "https://user@example.org/x:y",
        "hf_transformers and hf_hub_download",
    ],
)
def test_what_only_resembles_a_finding_passes(text: str) -> None:
    assert findings(publication(README__md=text.encode())) == ()


def test_a_credential_of_this_environment_is_known_by_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "not-in-any-known-form")
    (found,) = findings(publication(notes__txt=b"it is not-in-any-known-form indeed"))
    assert found.what == "holds a value of HF_TOKEN ((hidden)) at byte 6"


def test_a_dump_of_the_environment_is_known_in_each_of_its_forms() -> None:
    environ = {"PATH": "/usr/bin", "HOME": "/nowhere", "SHELL": "/bin/sh", "SHLVL": "1"}
    dumps = {
        "json": json.dumps(environ, indent=1),
        "shell": "\n".join(f"{name}={value}" for name, value in environ.items()),
        "proc": "\0".join(f"{name}={value}" for name, value in environ.items()),
        "repr": repr(environ),
    }
    for form, text in dumps.items():
        assert any("environment variables" in found.what for found in findings(publication(notes=text.encode()))), form


@pytest.mark.parametrize(
    "place",
    [
        *("/mnt/nas/acme-secret/bert", "/data/users/anna/bert", "/scratch/anna/bert", "/opt/models/bert"),
        *("/workspace/a/b", "D:\\work\\anna\\bert", "d:/work/bert", "\\\\nas\\anna\\bert", "~/models/bert"),
        *("~anna/bert", "/home/josé/bert", "/Users/Anna Smith/bert", "/home/anna/bert"),
    ],
)
def test_an_absolute_path_is_known_in_json_and_in_yaml_wherever_it_leads(place: str) -> None:
    for name, content in (
        ("config__json", json.dumps({"a": [{"_name_or_path": place}]})),
        ("config__json", json.dumps({"a": place}, ensure_ascii=False)),
        ("recipe__yaml", f"model: {{id: '{place}'}}\n"),
    ):
        (found,) = findings(publication(**{name: content.encode()}))
        assert "path" in found.what


@pytest.mark.parametrize("place", ["/home/josé/bert", "/Users/Anna Smith/bert", "/home/anna/bert"])
def test_a_home_is_known_whatever_its_name_in_text_and_in_binary_files(place: str) -> None:
    for content in (place.encode(), b"\xff\0\x80" + place.encode() + b"\0\xff"):
        (found,) = findings(publication(model__onnx=content))
        assert place in found.what


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("before", [b"", b"x"])
def test_a_token_in_utf_16_is_known(encoding: str, before: bytes) -> None:
    (found,) = findings(publication(notes__txt=before + f"\ntoken {TOKEN}".encode(encoding)))
    assert found.what.startswith("holds a Hugging Face token (hf_(hidden)) in UTF-16")


def test_what_json_writes_in_escapes_is_known() -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in TOKEN)
    (found,) = findings(publication(notes__json=f'{{"a": "{escaped}"}}'.encode()))
    assert found.what.startswith("holds a Hugging Face token (hf_(hidden)) in escapes")


def test_names_of_nodes_classes_and_words_are_no_paths() -> None:
    names = ["/bert/encoder/layer.0/MatMul", "/m/09x0r"]
    held = {"nodes_to_exclude": names, "id2label": {"0": names[1]}, "model": {"vocab": [[names[0], -1.0]]}, "a": "/ b"}
    held |= {"smooth": {"alphas": {names[0]: 0.5}}, "url": "https://example.org/a/b", "of": "and/or", "slash": "/"}
    assert findings(publication(ort_config__json=json.dumps(held).encode())) == ()


@pytest.mark.parametrize("repeated", ["sk-", "eyJ", "/home/", "eyJ-" * 250 + ".eyJ-"])
def test_what_only_begins_as_a_finding_costs_little_more_than_text(repeated: str) -> None:
    size = 4_000_000

    def seconds(text: str) -> float:
        held = publication(notes__txt=(text * (size // len(text))).encode())
        begin = time.process_time()
        assert findings(held) == ()
        return time.process_time() - begin

    assert seconds(repeated) < 10 * seconds("some words of a text, ") + 0.5


def test_a_file_full_of_findings_is_told_in_a_few_lines() -> None:
    tracemalloc.start()
    try:
        found = findings(publication(notes__txt=f"{TOKEN} ".encode() * 100_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 1 <= len(found) <= 5
    assert peak < 40e6, f"{peak / 1e6:.0f} MB were taken"


@pytest.mark.parametrize("path", ["../model.onnx", "/model.onnx", "a/../b", "a\\b", "./a", "a//b"])
def test_a_path_that_leaves_the_repository_is_refused(path: str) -> None:
    (found,) = findings(Publication("a model", (PublishedFile(path, b""),)))
    assert found.what == "is no plain relative path"


def test_a_link_is_not_followed_in_silence(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("nothing")
    (tmp_path / "model.onnx").symlink_to(tmp_path / "secret")
    (found,) = findings(publication(model__onnx=tmp_path / "model.onnx"))
    assert found.what.startswith("is a link")


def test_two_files_of_one_path_are_refused() -> None:
    (found,) = findings(Publication("a model", (PublishedFile("a", b""), PublishedFile("a", b""))))
    assert found.what == "is there twice"


def test_state_of_an_optimizer_is_known_in_safetensors_too(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"encoder.weight.exp_avg": torch.zeros(2)}, tmp_path / "state.safetensors")
    (found,) = findings(publication(state__safetensors=tmp_path / "state.safetensors"))
    assert found.what == "holds state of an optimizer (exp_avg)"
