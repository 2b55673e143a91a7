"""`push_to_hub` and the `hub_*` arguments of the trainers, against a Hub on a real socket.

Slow, since the process that publishes imports torch; `tests/training/test_publishing.py` looks at the same without a
socket.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub.conftest import Ask
from tests.hub.server import Fault, HubServer

pytestmark = pytest.mark.slow

NAME = "tester/student"
MODEL = {"config.json", "model.safetensors"}
TOKENIZER = {"special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"}
DOCUMENTS = {"README.md", "manifest.json"}


def test_a_trained_student_is_pushed_in_one_commit_without_what_only_its_training_needs(
    hub: HubServer, client: Ask, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    answer = client("train", folder=str(out), calls=2, push_to_hub=True, hub_strategy="end", hub_private_repo=True)
    repository = hub.store.repositories[NAME]  # called like its folder, as Trainer calls it
    files = repository.files()
    assert repository.private
    assert repository.titles() == ["End of training"]
    assert MODEL | DOCUMENTS <= set(files) <= MODEL | TOKENIZER | DOCUMENTS
    assert answer["commits"] == [repository.refs["main"]] * 2  # nothing had changed at the second call
    assert answer["urls"][0] == f"{hub.url}/{NAME}/commit/{answer['commits'][0]}"
    assert answer["projections"]
    header = files["model.safetensors"][8 : 8 + int.from_bytes(files["model.safetensors"][:8], "little")]
    assert "projection" not in header.decode()
    assert b"- tiny" in files["README.md"]
    assert set(json.loads(files["manifest.json"])["files"]) == set(files) - {"manifest.json"}
    assert (out / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert {"checkpoint-1", "checkpoint-2"} <= set(answer["local"])
    assert ".push" not in answer["local"]


def test_every_save_is_pushed_while_training_goes_on(hub: HubServer, client: Ask, tmp_path: Path) -> None:
    asked = {"push_to_hub": True, "hub_model_id": NAME, "hub_revision": "trial", "hub_always_push": True}
    answer = client("train", folder=str(tmp_path / "out"), steps=3, qat=True, blocking=False, **asked)
    repository = hub.store.repositories[NAME]
    saves = [f"Training in progress, step {step}" for step in (3, 2, 1)]
    # The last save is the end: only the card may say more.
    assert [title for title in repository.titles("trial") if title != "End of training"] == saves
    files = repository.files("trial")
    assert set(files) >= MODEL | DOCUMENTS | {"fake_quant.json", "fake_quant.safetensors"}
    assert not [name for name in files if "training_args" in name or "checkpoint" in name or "optimizer" in name]
    assert answer["commits"] == [repository.refs["trial"]]
    assert repository.files() == {}


def test_a_push_during_training_that_fails_does_not_end_the_training(
    hub: HubServer, client: Ask, tmp_path: Path
) -> None:
    hub.faults["preupload"] = Fault(status=403, times=2)
    client("train", folder=str(tmp_path / "student"), push_to_hub=True, hub_always_push=True)
    assert hub.store.repositories[NAME].titles() == ["End of training"]
    hub.clear()
    hub.faults["preupload"] = Fault(status=403)
    answer = client("train", folder=str(tmp_path / "again" / "student"), push_to_hub=True, hub_strategy="end")
    assert answer["kind"] == "PublishError"
    assert "the token may not do this (403)" in answer["error"]
    assert (tmp_path / "again" / "student" / "model.safetensors").is_file()


def test_a_name_that_is_no_good_is_found_before_training(hub: HubServer, client: Ask, tmp_path: Path) -> None:
    out = tmp_path / "student"
    answer = client("train", folder=str(out), push_to_hub=True, hub_model_id="somebody/else")
    assert "creating the repository: the token may not do this (403)" in answer["error"]
    assert not list(out.glob("checkpoint-*"))


def test_save_model_pushes_as_trainers_does_and_a_token_is_never_written_down(
    hub: HubServer, client: Ask, tmp_path: Path
) -> None:
    client("save", folder=str(tmp_path / "student"), push_to_hub=True)
    assert hub.store.repositories[NAME].titles() == ["Model save"]
    answer = client("save", folder=str(tmp_path / "other"), token_afterwards=True)
    assert answer["kind"] == "InputError"
    assert "hub_token would be written in clear" in answer["error"]
    assert "secret" not in answer["error"]
    assert not (tmp_path / "other" / "training_args.bin").exists()
