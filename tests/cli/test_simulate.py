"""`hfcompress simulate`, and the warning of `measure` on a CPU without VNNI."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from hfcompress.cli import failure, main
from hfcompress.errors import InputError, ModelError
from hfcompress.pipeline.measure import measure
from hfcompress.pipeline.simulate import simulate
from hfcompress.quantize import simulation
from hfcompress.recipe.data import DataConfig

pytestmark = pytest.mark.export


@pytest.fixture
def int8(saturating: dict[str, Path]) -> Path:
    return saturating["int8"]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(failure, "raise_on_sigterm", lambda: None)
    monkeypatch.setattr(sys, "argv", ["hfcompress", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_simulate_says_how_many_answers_stay_and_fails_when_they_do_not(
    int8: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    assert call(monkeypatch, "simulate", int8, "--data", reviews, "--rows", 20) == failure.GATE_FAILED
    assert "of 20 predictions are those of exact arithmetic: accuracy" in capfd.readouterr().out
    options = ["--data", reviews, "--cpu", "arm64", "--split", "test", "--format", "json"]
    assert call(monkeypatch, "simulate", int8, *options) == 0
    found = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (found["cpu"], found["rows"], found["agreement"]) == ("arm64", 32, 1.0)


def test_what_cannot_be_simulated_is_bad_input(int8: Path, classifier: Path, reviews: Path) -> None:
    data = DataConfig(path=str(reviews))
    unknown: Any = "z80"
    with pytest.raises(InputError, match="no CPU 'z80' to simulate"):
        simulate(int8, unknown, data=data)
    with pytest.raises(ModelError, match="holds no ONNX model; give the folder of an INT8 artifact"):
        simulate(classifier, "avx2", data=data)


def test_measuring_where_weights_saturate_warns(
    int8: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(simulation, "cpu_of", lambda flags: "avx2")

    def stop(*_: object) -> None:
        raise InputError("timing is not tested")

    monkeypatch.setattr("hfcompress.pipeline.measure.time_interleaved", stop)
    with caplog.at_level(logging.WARNING), pytest.raises(InputError, match="timing is not tested"):
        measure([int8])
    assert "8-bit weights of 8 products can saturate on this CPU (avx2)" in caplog.text
