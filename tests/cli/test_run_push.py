"""`hfcompress run --push`: what is found out before the run, and what is published after it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from hfcompress.cli import failure, main
from hfcompress.errors import InputError
from hfcompress.hub import repository
from hfcompress.hub.push import Pushed
from hfcompress.pipeline import publish
from hfcompress.pipeline import run as pipeline_run
from hfcompress.recipe.yaml_text import write_yaml
from tests import tiny
from tests.report import examples


class World:
    """Stands for the run and the push."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.results = examples.demo()
        self.ran = 0
        self.published: list[tuple[Path, str]] = []
        self.not_ready: str | None = None
        monkeypatch.setattr(failure, "raise_on_sigterm", lambda: None)
        monkeypatch.setattr(pipeline_run, "run_recipe", self.run)
        monkeypatch.setattr(publish, "publish_run", self.publish)
        monkeypatch.setattr(repository, "check_ready", self.check_ready)
        self._monkeypatch = monkeypatch

    def run(self, *_: Any, **__: Any) -> Any:
        """`run_recipe`."""
        self.ran += 1
        return self.results

    def publish(self, run: Path, target: Any, _progress: Any) -> Pushed:
        """`publish_run`."""
        self.published.append((run, target.repo_id))
        return Pushed(target.repo_id, "https://hub/commit/1", "1", "https://hub/commit/1", ("a", "b"), ("a",))

    def check_ready(self, _repo_id: str) -> None:
        """`check_ready`."""
        if self.not_ready is not None:
            raise InputError(self.not_ready)

    def type(self, *words: object) -> int:
        """A command; gives its exit code."""
        self._monkeypatch.setattr(sys, "argv", ["hfcompress", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return _written(tmp_path, publish={"repo_id": "tester/student"})


def _written(folder: Path, **changes: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(write_yaml({**tiny.text_recipe(folder / "model", folder / "data"), **changes}))
    return path


def test_a_run_publishes_with_push_only(world: World, recipe: Path, tmp_path: Path, capfd: Any) -> None:
    assert world.type("run", recipe, "--out", tmp_path / "run") == 0
    assert world.published == []
    assert world.type("run", recipe, "--out", tmp_path / "run", "--push") == 0
    assert world.published == [(tmp_path / "run", "tester/student")]
    assert "pushed: 1 of 2 files are new: https://hub/commit/1" in capfd.readouterr().out


def test_a_failed_gate_keeps_everything_here(world: World, recipe: Path, tmp_path: Path, capfd: Any) -> None:
    world.results = examples.failed()
    assert world.type("run", recipe, "--out", tmp_path / "run", "--push") == 1
    assert world.published == []
    assert "a gate failed, so nothing is pushed; what passed: hfcompress push" in capfd.readouterr().err


def test_what_keeps_a_push_from_working_is_said_before_the_run(
    world: World, recipe: Path, tmp_path: Path, capfd: Any
) -> None:
    world.not_ready = "there is no token"
    assert world.type("run", recipe, "--push") == 2
    nowhere = _written(tmp_path)
    assert world.type("run", nowhere, "--push") == 2
    err = capfd.readouterr().err
    assert "there is no token" in err
    assert "--push needs to know where to; add `publish: {repo_id: namespace/name}`" in err
    assert (world.ran, world.published) == (0, [])
