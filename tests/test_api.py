"""The Python API: light to import, complete, and each name works in two or three calls."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hfcompress
from hfcompress.errors import InputError, NumericalMismatchError, StageError


def test_importing_imports_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "datasets", "pydantic", "numpy", "rich", "typer", "onnxruntime"]
    code = f"import hfcompress, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_after_every_module_was_imported() -> None:
    for module in pkgutil.walk_packages(hfcompress.__path__, "hfcompress."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert list(hfcompress.__all__) == sorted(hfcompress.__all__)
    for name in hfcompress.__all__:
        value = getattr(hfcompress, name)
        assert not isinstance(value, type(sys)), f"{name} is a module"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'quantise_onnx'"):
        _ = hfcompress.quantise_onnx


@pytest.mark.export
def test_export_quantize_load_and_measure_in_a_few_calls(classifier: Path, tmp_path: Path) -> None:
    examples = ["good word1 fine", "bad word2"]
    agreement = hfcompress.export_onnx(classifier, tmp_path / "onnx", examples=examples)
    assert agreement.largest < 1e-4
    assert hfcompress.quantize_onnx(tmp_path / "onnx", tmp_path / "int8") > 0
    models = [hfcompress.load(folder) for folder in (classifier, tmp_path / "onnx", tmp_path / "int8")]
    logits = [model.predict(model.preprocess(examples))["logits"] for model in models]
    assert np.allclose(logits[0], logits[1], atol=1e-4)
    assert np.allclose(logits[0], logits[2], atol=0.3)
    assert set(models[0].classify(examples)) <= {"negative", "positive"}


@pytest.mark.export
def test_an_export_that_answers_otherwise_writes_nothing(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(NumericalMismatchError, match="tolerance"):
        hfcompress.export_onnx(classifier, tmp_path / "onnx", tolerance=1e-12)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.export
def test_a_quantized_model_is_not_quantized_again(classifier: Path, tmp_path: Path) -> None:
    hfcompress.export_onnx(classifier, tmp_path / "onnx")
    hfcompress.quantize_onnx(tmp_path / "onnx", tmp_path / "int8")
    with pytest.raises(StageError, match="quantized already"):
        hfcompress.quantize_onnx(tmp_path / "int8", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_load_refuses_what_is_no_model_folder(tmp_path: Path, vit: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        hfcompress.load(tmp_path / "none")
    with pytest.raises(InputError, match=r"no config\.json"):
        hfcompress.load(tmp_path)
    with pytest.raises(InputError, match="no head for a task"):
        hfcompress.load(vit)
