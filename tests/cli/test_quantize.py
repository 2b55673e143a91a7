"""`hfcompress quantize` as a user types it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfcompress.cli import failure, main
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.operators import operator_counts
from tests import tiny

pytestmark = pytest.mark.export
Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command line in this process; gives its exit code."""
    monkeypatch.setattr(failure, "raise_on_sigterm", lambda: None)

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["hfcompress", "quantize", *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


def test_a_torch_folder_is_exported_calibrated_and_compared(
    call: Call, classifier: Path, reviews: Path, tmp_path: Path, capfd: Any
) -> None:
    out = tmp_path / "int8"
    options = ["--method", "percentile", "--percentile", "99.9", "--samples", "16", "--skip", "bert.encoder.layer.0"]
    assert call(classifier, "--data", reviews, "--out", out, "--max-length", "32", *options) == 0
    table, err = capfd.readouterr()
    assert "exporting classifier" in err
    lines = dict(line.split(maxsplit=1) for line in table.splitlines() if not line.startswith(("integer", "written")))
    assert {"target", "size", "agreement", "accuracy"} <= set(lines)
    assert lines["agreement"].endswith("of predictions on 32 rows")
    assert float(lines["agreement"].partition("%")[0]) > 80
    assert "integer operators  20" in table, "three of four layers, the pooler and the head"
    assert "QuantizeLinear" in operator_counts(model_file(out))
    assert call(out, "--out", tmp_path / "twice") == 3
    assert "int8 is quantized already" in capfd.readouterr().err


def test_rows_without_labels_are_enough(call: Call, classifier: Path, tmp_path: Path, capfd: Any) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"sentence": row["text"]}) for row in tiny.make_reviews(20)))
    options = ["--column", "text=sentence", "--max-length", "32", "--per-tensor", "--format", "json"]
    assert call(classifier, "--data", rows, "--out", tmp_path / "int8", *options) == 0
    made = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert made["integer_operators"] == 26
    assert made["comparison"]["rows"] == 20
    assert made["comparison"]["metrics"] == {}
    assert made["size_mb"][1] < made["size_mb"][0]


@pytest.mark.parametrize("alpha", ["auto", "0.5"])
def test_outliers_are_moved_first(
    call: Call, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alpha: str
) -> None:
    from hfcompress.quantize import quantizer

    used = []
    monkeypatch.setattr(quantizer, "smoother", lambda config, *_: used.append(config.smooth.alpha))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"text": row["text"]}) for row in tiny.make_reviews(8)))
    assert call(classifier, "--data", rows, "--smooth", alpha, "--out", tmp_path / "int8", "--max-length", "32") == 0
    assert used == [alpha if alpha == "auto" else float(alpha)]


def test_labels_that_the_model_does_not_have_are_found_before_the_export(
    call: Call, classifier: Path, tmp_path: Path, capfd: Any
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"text": "a", "label": label}) for label in ("spam", "ham")))
    assert call(classifier, "--data", rows, "--out", tmp_path / "int8") == 2
    err = capfd.readouterr().err
    assert "spam" in err
    assert "exporting" not in err


def test_without_data_it_is_dynamic(call: Call, classifier: Path, tmp_path: Path, capfd: Any) -> None:
    assert call(classifier, "--out", tmp_path / "int8") == 0
    assert "MatMulInteger" in operator_counts(model_file(tmp_path / "int8"))
    assert "agreement" not in capfd.readouterr().out


@pytest.mark.parametrize(
    "options, message",
    [
        (["--method", "entropy"], "--method: calibration needs rows, and there are none; give --data"),
        (["--smooth", "0.5"], "--smooth: calibration needs rows, and there are none; give --data"),
        (["--target", "tensorrt"], "target tensorrt takes static INT8 alone"),
        (["--target", "vax"], "target: Input should be 'auto'"),
        (["--skip", "encoder.layer.9"], "skip names 'encoder.layer.9', which fits no layer"),
    ],
)
def test_bad_options_are_named(
    call: Call, classifier: Path, tmp_path: Path, capfd: Any, options: list[str], message: str
) -> None:
    assert call(classifier, "--out", tmp_path / "int8", *options) == 2
    assert message in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "int8").exists()


@pytest.mark.parametrize("split, message", [("train", "has no rows"), ("dev", "has no split `dev`")])
def test_data_without_rows_or_the_split_is_refused(
    call: Call, classifier: Path, tmp_path: Path, capfd: Any, split: str, message: str
) -> None:
    from datasets import Dataset, DatasetDict, Features, Value

    features = Features({"text": Value("string")})
    rows = {"train": [], "test": ["good"]} if split == "train" else {"test": ["good"]}
    splits = {name: Dataset.from_dict({"text": texts}, features=features) for name, texts in rows.items()}
    DatasetDict(splits).save_to_disk(str(tmp_path / "rows"))
    assert call(classifier, "--data", tmp_path / "rows", "--split", split, "--out", tmp_path / "int8") == 2
    assert message in capfd.readouterr().err
