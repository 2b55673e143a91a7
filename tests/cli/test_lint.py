"""`hfcompress lint` as a user types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hfcompress.cli import failure, main
from tests.onnx_graph.lint import test_rules as plants
from tests.onnx_graph.lint.crafted import clean

pytestmark = pytest.mark.export


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(failure, "raise_on_sigterm", lambda: None)
    monkeypatch.setattr(sys, "argv", ["hfcompress", "lint", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def save(path: Path, *faults: plants.Plant) -> Path:
    import onnx

    model = clean()
    for plant in faults:
        plant(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def test_errors_give_1_and_say_where_why_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    path = save(tmp_path / "model.onnx", plants.asymmetric, plants.residual_in_float)
    assert call(monkeypatch, path, "--target", "tensorrt") == failure.GATE_FAILED
    out = capfd.readouterr().out
    assert "error: zero-point\n  rows_q: the zero point of rows is 3\n  cure: quantize symmetrically" in out
    assert "advice: residual\n  sum: adds pool in floating point to a quantized convolution" in out
    assert out.rstrip().endswith("tensorrt: errors 1, advice 1")


def test_advice_alone_and_a_clean_graph_give_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    assert call(monkeypatch, save(tmp_path / "advice" / "model.onnx", plants.residual_in_float)) == 0
    assert call(monkeypatch, save(tmp_path / "clean" / "model.onnx").parent, "--format", "json") == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["findings"] == []


def test_fix_writes_what_can_be_mended_and_lints_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    folder = save(tmp_path / "int8" / "model.onnx", plants.bias_in_32_bits).parent
    for name in ("config.json", "manifest.json"):
        (folder / name).write_text("{}")
    before = (folder / "model.onnx").read_bytes()
    assert call(monkeypatch, folder, "--fix", tmp_path / "mended", "--format", "json") == 0
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (said["event"], said["mended"], said["findings"]) == ("lint", 1, [])
    assert {path.name for path in (tmp_path / "mended").iterdir()} == {"config.json", "model.onnx"}
    assert (folder / "model.onnx").read_bytes() == before
    assert call(monkeypatch, folder / "model.onnx", "--fix", tmp_path / "new" / "one.onnx") == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.onnx"]


def test_bad_input_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    path = save(tmp_path / "model.onnx")
    (tmp_path / "torn.onnx").write_bytes(path.read_bytes()[:1000])
    for arguments, message in (
        ([path, "--target", "z80"], "no rules for target 'z80'; there are rules for tensorrt"),
        ([path, "--profile", "image=1"], "has 4 axes"),
        ([path, "--profile", "image"], "a profile is INPUT=MIN:OPT:MAX"),
        ([path, "--fix", path], "is the source itself"),
        ([tmp_path / "torn.onnx"], "is no ONNX model"),
        ([tmp_path / "nowhere.onnx"], "does not exist"),
    ):
        code = call(monkeypatch, *arguments)
        said = capfd.readouterr()
        assert code == (1 if "axes" in message else 2)
        assert message in said.err.replace("\n", " ") + said.out
    assert {entry.name for entry in tmp_path.iterdir()} == {"model.onnx", "torn.onnx"}
