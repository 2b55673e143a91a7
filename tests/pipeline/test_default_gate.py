"""INT8 that is slower than its source on this host: the gate that every recipe has."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hfcompress.benchmark.timings import Timings
from hfcompress.cli import failure, main
from hfcompress.pipeline import run as pipeline_run
from hfcompress.recipe.yaml_text import write_yaml
from hfcompress.results import Results, read_results
from tests.pipeline.conftest import Ran

pytestmark = pytest.mark.export


@pytest.fixture
def run(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the tiny recipe again without its gates, with INT8 timed at half the speed of its source."""
    monkeypatch.setattr(failure, "raise_on_sigterm", lambda: None)
    timings_of = pipeline_run.timings_of

    def slow(*arguments: Any) -> dict[str, Timings]:
        found = timings_of(*arguments)
        return {**found, "int8": replace(found["int8"], stream_s=[2 * seconds for seconds in found["onnx"].stream_s])}

    monkeypatch.setattr(pipeline_run, "timings_of", slow)

    def again(allow_slower: bool) -> tuple[int, Results]:
        folder = shutil.copytree(ran.folder, tmp_path / "run")
        dumped = ran.recipe.model_dump(mode="json", by_alias=True, exclude_unset=True)
        dumped["stages"]["int8"]["quantize"]["allow_slower"] = allow_slower
        path = tmp_path / "recipe.yaml"
        path.write_text(write_yaml({**dumped, "gates": []}))
        monkeypatch.setattr(sys, "argv", ["hfcompress", "run", str(path), "--out", str(folder)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), read_results(folder / "results.json")

    return again


def test_it_ends_with_exit_code_one_and_must_not_be_published(run: Any, capfd: Any) -> None:
    code, results = run(allow_slower=False)
    assert code == failure.GATE_FAILED
    assert [(gate.kind, gate.artifact, gate.passed) for gate in results.gates] == [("not_slower", "int8", False)]
    assert results.gates[0].value == pytest.approx(0.5)
    assert {artifact.name: artifact.publishable for artifact in results.artifacts} == {
        "teacher": True,
        "student": True,
        "onnx": True,
        "int8": False,
    }
    assert "hfcompress explain artifacts/int8 --against artifacts/onnx" in capfd.readouterr().out.replace("\n", " ")


def test_where_the_recipe_allows_it_nothing_is_judged(run: Any) -> None:
    code, results = run(allow_slower=True)
    assert (code, results.gates) == (0, ())
    assert results.artifact("int8").publishable
