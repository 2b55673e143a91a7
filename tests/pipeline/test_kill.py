"""kill -9 at random moments: the next run goes on, and ends where an undisturbed one ends."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.artifact import damage, read_manifest
from tests import tiny

pytestmark = pytest.mark.export

KILLS = 10


@pytest.fixture(scope="module")
def server() -> Any:
    """Forks processes that have torch, Transformers and Optimum imported: a kill costs no import."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.pipeline.kill_worker"])
    return context


def start(server: Any, recipe: dict[str, Any], folder: Path) -> Any:
    from tests.pipeline.kill_worker import work

    process = server.Process(target=work, args=(recipe, str(folder)))
    process.start()
    return process


@pytest.mark.timeout(480)
def test_ten_kills_leave_the_weights_of_an_undisturbed_run(
    server: Any, encoder: Path, reviews: Path, tmp_path: Path
) -> None:
    recipe = tiny.text_recipe(encoder, reviews)
    started = time.monotonic()
    undisturbed = start(server, recipe, tmp_path / "undisturbed")
    undisturbed.join()
    assert undisturbed.exitcode == 0
    whole = time.monotonic() - started

    rng = np.random.default_rng()
    killed, runs = 0, 0
    while killed < KILLS:
        folder = tmp_path / f"killed-{runs}"
        process = start(server, recipe, folder)
        process.join(timeout=float(rng.uniform(0.02, 0.25)) * whole)
        if process.exitcode is None:
            process.kill()
            process.join()
            killed += 1
            assert process.exitcode == -9
        else:
            assert process.exitcode == 0
            runs += 1
    last = start(server, recipe, tmp_path / f"killed-{runs}")
    last.join()
    assert last.exitcode == 0
    for run in range(runs + 1):
        assert_equal_artifacts(tmp_path / "undisturbed", tmp_path / f"killed-{run}")


def assert_equal_artifacts(undisturbed: Path, killed: Path) -> None:
    for name in ("teacher", "student", "onnx", "int8"):
        ours, theirs = (read_manifest(folder / "artifacts" / name) for folder in (undisturbed, killed))
        assert ours is not None
        assert theirs is not None
        assert damage(killed / "artifacts" / name, theirs) is None
        weights = [path for path in ours.files if path.endswith((".safetensors", ".onnx"))]
        assert weights
        assert all(ours.files[path] == theirs.files[path] for path in weights)
    assert (killed / "results.json").is_file()
    hidden = [path.name for path in (killed / "artifacts").iterdir() if path.name.startswith(".")]
    assert hidden == []
