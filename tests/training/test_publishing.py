"""What `push_to_hub` and the `hub_*` arguments of the trainers publish; `tests/hub` sends it over a socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from hfcompress.errors import InputError, PublishError
from hfcompress.hub.publication import Publication
from hfcompress.hub.push import Pushed, PushOptions
from hfcompress.training import publishing
from hfcompress.training.trainer import DistillationTrainer
from tests.tiny import make_tokenizer
from tests.training.toy import rounded, sentence_pairs, tiny_bert

DOCUMENTS = {"README.md", "manifest.json"}
URL = "https://huggingface.co/tester/student/commit/"
MODEL = {"config.json", "model.safetensors"}


class Hub:
    """Takes publications; keeps their bytes, since the folders that they are made of are used again."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, bool | None]] = []
        self.pushed: list[tuple[str, dict[str, bytes]]] = []
        self.options: list[PushOptions] = []
        self.refuse = False
        self.closed = False
        self.begin: threading.Event | None = None

    def open(self, repo_id: str, private: bool | None = None) -> str:
        """`open_repository`."""
        if self.closed:
            raise PublishError("the Hub is closed")
        self.opened.append((repo_id, private))
        return f"tester/{repo_id}"

    def push(self, publication: Publication, repo_id: str, options: PushOptions) -> Pushed:
        """`hfcompress.hub.push.push`."""
        if self.begin is not None:
            self.begin.wait(10)
        if self.refuse:
            raise PublishError("the Hub is full")
        files = {f.path: f.content if isinstance(f.content, bytes) else f.content.read_bytes() for f in publication}
        self.pushed.append((publication.title, files))
        self.options.append(options)
        commit = f"{len(self.pushed):040}"
        return Pushed(repo_id, URL + commit, commit, URL + commit, tuple(files))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """In place of the real one."""
    hub = Hub()
    monkeypatch.setattr(publishing, "open_repository", hub.open)
    monkeypatch.setattr(publishing, "push", hub.push)
    return hub


Make = Callable[..., DistillationTrainer]


def test_a_push_holds_the_student_its_tokenizer_the_card_and_nothing_else(hub: Hub, trainer: Make) -> None:
    made = trainer(
        model=tiny_bert(seed=1),
        teacher=tiny_bert(seed=2, hidden_size=48),
        hidden={"weight": 1.0},  # with projections, since the teacher is wider
        max_steps=2,
        save_strategy="steps",
        save_steps=1,
        trainer_args={"processing_class": make_tokenizer()},
        rows=sentence_pairs(16),
    )
    made.train()
    out = Path(made.args.output_dir)
    (out / "notes.txt").write_text("mine")
    commit = made.push_to_hub("A student", tags="tiny")
    assert (commit.oid, commit.commit_message, commit.commit_url) == (f"{1:040}", "A student", f"{URL}{1:040}")
    [(title, files)] = hub.pushed
    assert title == "A student"
    assert MODEL | DOCUMENTS | {"tokenizer.json", "tokenizer_config.json"} <= set(files)
    assert set(files) <= MODEL | DOCUMENTS | {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert set(json.loads(files["manifest.json"])["files"]) == set(files) - {"manifest.json"}
    assert b"- tiny" in files["README.md"]
    weights = load(files["model.safetensors"])
    with made.bare_student() as student:
        assert set(weights) == set(student.state_dict())  # and so no projections
    assert sum("projection" in name for name, _ in made.model.named_parameters())
    assert (out / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert not (out / ".push").exists()


def test_the_hub_arguments_say_where_to(hub: Hub, trainer: Make, tmp_path: Path) -> None:
    asked = {"push_to_hub": True, "hub_private_repo": True, "hub_revision": "trial", "hub_strategy": "end"}
    made = trainer(model=tiny_bert(), folder=tmp_path / "student", **asked)
    assert hub.opened == [("student", True)]  # before training; called like its folder, as Trainer calls it
    made.push_to_hub()
    made.push_to_hub(revision="other")
    assert hub.opened == [("student", True)]
    assert hub.options == [PushOptions(True, revision=revision, replace=True) for revision in ("trial", "other")]
    assert [title for title, _ in hub.pushed] == ["End of training"] * 2
    later = trainer(model=tiny_bert(), folder=tmp_path / "later", hub_model_id="named")
    pushing = later.push_to_hub(blocking=False, private=False)
    assert isinstance(pushing, Future)
    assert pushing.result().oid == f"{3:040}"
    assert hub.opened[1:] == [("named", False)]


def test_every_save_is_pushed_and_one_that_fails_does_not_end_the_training(
    hub: Hub, trainer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    saving: dict[str, Any] = {"max_steps": 3, "save_strategy": "steps", "save_steps": 1, "rows": sentence_pairs(16)}
    made = trainer(model=rounded(tiny_bert()), push_to_hub=True, hub_always_push=True, **saving)
    made.train()
    assert [title for title, _ in hub.pushed] == [f"Training in progress, step {step}" for step in (1, 2, 3)]
    weights = [files["model.safetensors"] for _, files in hub.pushed]
    assert len(set(weights)) == 3
    assert all(
        set(files) == MODEL | DOCUMENTS | {"fake_quant.json", "fake_quant.safetensors"} for _, files in hub.pushed
    )
    hub.refuse = True
    made = trainer(model=tiny_bert(), push_to_hub=True, hub_always_push=True, **saving)
    made.train()
    assert caplog.text.count("not pushed, and training goes on: the Hub is full") == 3
    with pytest.raises(PublishError, match="the Hub is full"):
        made.push_to_hub()


def test_a_push_that_is_not_waited_for_keeps_its_files_while_another_one_begins(hub: Hub, trainer: Make) -> None:
    made = trainer(model=tiny_bert(), push_to_hub=True)
    hub.begin = threading.Event()
    first = made.push_to_hub("one", blocking=False)
    with torch.no_grad():
        made.model.classifier.bias.add_(1)
    threading.Timer(0.3, hub.begin.set).start()
    made.push_to_hub("two")
    assert first.done()
    assert [title for title, _ in hub.pushed] == ["one", "two"]
    one, two = (files["model.safetensors"] for _, files in hub.pushed)
    assert one != two


def test_a_hub_that_refuses_the_repository_says_so_before_training(hub: Hub, trainer: Make) -> None:
    hub.closed = True
    with pytest.raises(PublishError, match="the Hub is closed"):
        trainer(model=tiny_bert(), push_to_hub=True)


def test_with_the_strategy_end_nothing_is_pushed_before_it(hub: Hub, trainer: Make) -> None:
    made = trainer(model=tiny_bert(), push_to_hub=True, hub_strategy="end", save_strategy="steps", save_steps=2)
    made.train()
    assert hub.pushed == []


def test_save_model_pushes_where_pushing_is_asked_for(hub: Hub, trainer: Make) -> None:
    trainer(model=tiny_bert()).save_model()
    assert hub.pushed == []
    trainer(model=tiny_bert(), push_to_hub=True).save_model()
    assert [title for title, _ in hub.pushed] == ["Model save"]


def test_a_token_is_taken_from_the_environment_or_the_login_only(hub: Hub, trainer: Make, tmp_path: Path) -> None:
    made = trainer(model=tiny_bert(), folder=tmp_path / "out")
    for refuse in (made.init_hf_repo, made.push_to_hub):
        with pytest.raises(InputError, match="takes no token; set HF_TOKEN") as refused:
            refuse(token="not a token but a secret")
        assert "secret" not in str(refused.value)
    made.args.set_push_to_hub("student", token="not a token but a secret")
    with pytest.raises(InputError, match="hub_token would be written in clear into every checkpoint"):
        made.save_model()
    assert not list((tmp_path / "out").rglob("training_args.bin"))
    assert (hub.opened, hub.pushed) == ([], [])
