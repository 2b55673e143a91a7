"""Rank 0 leads and the others follow: threads for ranks, and a stage that only says that it ran."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import HashStore

from hfcompress.distributed.world import World
from hfcompress.errors import LaunchError, StageError
from hfcompress.pipeline import follow as follow_module
from hfcompress.pipeline import run as run_module
from hfcompress.pipeline.build import Options
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.follow import follow
from hfcompress.pipeline.run import run_recipe
from tests.pipeline.conftest import Ran

pytestmark = pytest.mark.export

Both = Callable[[Path, Options], tuple[Any, Any]]


@pytest.fixture
def both(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> Both:
    """Rank 0 runs the recipe in this thread and rank 1 follows in another; what each ends with."""
    store = HashStore()
    monkeypatch.setattr(run_module, "join", lambda: World(0, 2, store))

    def attempt(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what a rank ends with is looked at
            return error

    def call(out: Path, options: Options) -> tuple[Any, Any]:
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(attempt, lambda: follow(ran.recipe, RunFolder(out), Options(), World(1, 2, store)))
            first = attempt(lambda: run_recipe(ran.recipe, out=out, options=options))
            return first, second.result(timeout=60)

    return call


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The runs that rank 1 was told to train, which write what must not be kept."""
    runs: list[Any] = []

    def pretend(_plan: Any, _name: str, _made: Any, run: Any) -> None:
        (run.out / "model.safetensors").write_bytes(b"of rank 1")
        runs.append(run)

    monkeypatch.setattr(follow_module, "run_named", pretend)
    return runs


def test_where_everything_is_cached_nobody_trains_and_all_have_the_results(
    ran: Ran, both: Both, trained: list[Any], tmp_path: Path
) -> None:
    shutil.copytree(ran.folder, tmp_path / "run")
    first, second = both(tmp_path / "run", Options())
    assert first == second
    assert trained == []


def test_the_others_train_what_rank_0_trains_and_keep_nothing(
    ran: Ran, both: Both, trained: list[Any], tmp_path: Path
) -> None:
    shutil.copytree(ran.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "artifacts" / "student")
    first, second = both(tmp_path / "run", Options())
    assert first == second
    (run,) = trained
    assert run.name == "student"
    assert run.work.parent == tmp_path / "run" / "work"
    assert not run.out.exists()
    ours = (ran.folder / "artifacts" / "student" / "model.safetensors").read_bytes()
    assert (tmp_path / "run" / "artifacts" / "student" / "model.safetensors").read_bytes() == ours


def test_a_failure_of_rank_0_ends_the_others_in_silence_with_its_code(
    ran: Ran, both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: Any) -> None:
        raise StageError("no such operator")

    monkeypatch.setattr(run_module, "build", fails)
    first, second = both(tmp_path / "run", Options())
    assert isinstance(first, StageError)
    assert isinstance(second, SystemExit)
    assert second.code == 3


def test_a_rank_that_would_make_something_else_says_so(
    ran: Ran, both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: Any) -> None:
        raise StageError("what rank 0 does meanwhile")

    shutil.copytree(ran.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "artifacts" / "teacher")
    monkeypatch.setattr(follow_module, "key_of", lambda *_: "another key")
    monkeypatch.setattr("hfcompress.pipeline.build.run_named", fails)
    _, second = both(tmp_path / "run", Options())
    assert isinstance(second, LaunchError)
    assert "this process would make another `teacher` than rank 0" in str(second)
