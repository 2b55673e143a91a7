"""The plain training script: options and a file of them, each task, and going on where it stopped."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageClassification, pipeline

from hfcompress.errors import InputError
from tests import tiny

SCRIPT = Path(__file__).parents[2] / "scripts" / "distill.py"

Distill = Callable[..., None]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("distill_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["distill_script"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def distill(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Distill:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # which the script sets: put back afterwards

    def call(*words: object) -> None:
        common = ["--max_steps", 4, "--save_steps", 2, "--learning_rate", "1e-3", "--bf16", "false"]
        monkeypatch.setattr(sys, "argv", ["distill.py", *map(str, [*common, *words])])
        script.main()

    return call


def test_a_student_stands_on_its_own_and_a_stopped_training_goes_on(
    distill: Distill, classifier: Path, reviews: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--model", classifier, "--keep_layers", 0, 2, "--dataset", reviews]
    distill(*given, "--output_dir", tmp_path / "whole")
    answers = pipeline("text-classification", model=str(tmp_path / "whole"), device="cpu")("a good film")
    assert answers[0]["label"] in tiny.LABELS.values()
    weights = load_file(tmp_path / "whole" / "model.safetensors")
    assert {name.split(".")[3] for name in weights if name.startswith("bert.encoder.layer")} == {"0", "1"}

    (tmp_path / "stopped").mkdir()
    (tmp_path / "whole" / "checkpoint-2").rename(tmp_path / "stopped" / "checkpoint-2")
    distill(*given, "--output_dir", tmp_path / "stopped")
    assert "resumes from checkpoint-2" in capfd.readouterr().err
    resumed = load_file(tmp_path / "stopped" / "model.safetensors")
    assert all(torch.equal(value, resumed[name]) for name, value in weights.items())


def test_options_win_over_the_file(distill: Distill, classifier: Path, reviews: Path, tmp_path: Path) -> None:
    config = tmp_path / "x.yaml"
    config.write_text(
        f"model: {classifier}\ndataset: {reviews}\nkeep_layers: [0, 1, 3]\noutput_dir: {tmp_path / 'of the file'}\n"
        "columns: {text: text}\nschedules: {kl: {end: 0.5}}\nsubset:\n"
    )
    distill("--config", config, "--output_dir", tmp_path / "out", "--max_steps", 1)
    assert not (tmp_path / "of the file").exists()
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {name.split(".")[3] for name in weights if name.startswith("bert.encoder.layer")} == {"0", "1", "2"}


def test_a_file_that_is_no_mapping_is_an_error(distill: Distill, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("- model")
    with pytest.raises(InputError, match="should map options to values"):
        distill("--config", tmp_path / "x.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        distill("--config", tmp_path / "none.yaml")


def test_images_too(distill: Distill, vit: Path, digits: Path, tmp_path: Path) -> None:
    classifier = tmp_path / "classifier"
    labels = {str(digit): digit for digit in range(10)}
    names = {index: name for name, index in labels.items()}
    model = AutoModelForImageClassification.from_pretrained(vit, num_labels=10, id2label=names, label2id=labels)
    model.save_pretrained(classifier)
    (classifier / "preprocessor_config.json").write_bytes((vit / "preprocessor_config.json").read_bytes())
    options = ["--task", "image-classification", "--model", classifier, "--keep_layers", 0, 2, "--dataset", digits]
    distill(*options, "--output_dir", tmp_path / "out", "--max_steps", 2, "--validation_split", "validation")
    assert AutoModelForImageClassification.from_pretrained(tmp_path / "out").config.num_hidden_layers == 2
    assert (tmp_path / "out" / "preprocessor_config.json").is_file()
