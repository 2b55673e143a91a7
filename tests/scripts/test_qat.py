"""The plain script that trains for INT8."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hfcompress.errors import RecipeError
from hfcompress.models.fake_quant import is_fake_quantized
from hfcompress.models.loading import load_model

SCRIPT = Path(__file__).parents[2] / "scripts" / "qat.py"

Qat = Callable[..., None]


@pytest.fixture
def qat(monkeypatch: pytest.MonkeyPatch) -> Qat:
    spec = importlib.util.spec_from_file_location("qat_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "qat_script", script)  # dataclasses look their module up
    spec.loader.exec_module(script)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # which the script sets: put back afterwards

    def call(*words: object) -> None:
        common = ["--max_steps", 4, "--save_steps", 2, "--learning_rate", "1e-4", "--bf16", "false"]
        monkeypatch.setattr(sys, "argv", ["qat.py", *map(str, [*common, *words])])
        script.main()

    return call


def test_a_model_is_left_that_rounds_and_a_stopped_training_goes_on(
    qat: Qat, classifier: Path, reviews: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--model", classifier, "--dataset", reviews, "--skip", "classifier", "--freeze_after", 0.5]
    given += ["--smooth", "0.5", "--calibration", "percentile", "--percentile", 99.9]
    qat(*given, "--output_dir", tmp_path / "whole")
    model = load_model(tmp_path / "whole", "text-classification")
    assert is_fake_quantized(model)
    assert type(model.classifier) is torch.nn.Linear
    assert any(getattr(layer, "smooth", None) is not None for layer in model.modules())
    weights = load_file(tmp_path / "whole" / "model.safetensors")

    (tmp_path / "stopped").mkdir()
    (tmp_path / "whole" / "checkpoint-2").rename(tmp_path / "stopped" / "checkpoint-2")
    qat(*given, "--output_dir", tmp_path / "stopped")
    assert "resumes from checkpoint-2" in capfd.readouterr().err
    resumed = load_file(tmp_path / "stopped" / "model.safetensors")
    assert all(torch.equal(value, resumed[name]) for name, value in weights.items())


def test_options_are_checked_as_those_of_a_stage(qat: Qat, classifier: Path, reviews: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"stages\.aware\.qat\.target: should be one of .*, got 'avx3'"):
        qat("--model", classifier, "--dataset", reviews, "--target", "avx3", "--output_dir", tmp_path / "out")
