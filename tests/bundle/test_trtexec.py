"""`build.sh` with a trtexec that writes down what it is told, as the one of each TensorRT would take it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hfcompress.bundle.trtexec import build_script
from hfcompress.onnx_graph.profiles import parse_profiles

PROFILES = parse_profiles(["input_ids=1x8:16x32:32x128", "attention_mask=1x8:16x32:32x128"])
FLAGS = {"8": ("--int8", "--fp16"), "10": ("--int8", "--fp16", "--bf16", "--stronglyTyped"), "11": ()}


def build(folder: Path, version: str, precision: Any, *, quantized: bool) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "build.sh").write_text(build_script("model.onnx", PROFILES, "jetson", precision, quantized=quantized))
    (folder / "model.onnx").write_text("a graph")
    sums = subprocess.run(["sha256sum", "model.onnx", "build.sh"], cwd=folder, capture_output=True, check=True).stdout
    (folder / "SHA256SUMS").write_bytes(sums)
    listed = "\n".join(f"  {flag}   Enable it" for flag in FLAGS[version])
    trtexec = folder / "trtexec"
    trtexec.write_text(
        f"#!/bin/sh\n[ \"$1\" = --help ] && echo '{listed}' && exit\n"
        'printf "%s\\n" "$@" > told\nfor a; do case $a in --saveEngine=*) echo x > "${a#*=}";; esac; done\n'
    )
    trtexec.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "TRTEXEC": str(trtexec)}
    return subprocess.run(["sh", "build.sh"], cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("version", "precision", "quantized", "expected"),
    [
        ("8", None, True, ["--int8"]),
        ("8", None, False, []),
        ("10", None, True, ["--stronglyTyped"]),
        ("10", "fp32", False, ["--stronglyTyped"]),
        ("10", "fp16", True, ["--fp16", "--int8"]),
        ("10", "bf16", False, ["--bf16"]),
        ("11", None, True, []),
    ],
)
def test_each_tensorrt_is_told_what_it_takes(
    tmp_path: Path, version: str, precision: str | None, quantized: bool, expected: list[str]
) -> None:
    done = build(tmp_path / "bundle", version, precision, quantized=quantized)
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "bundle" / "told").read_text().splitlines()
    assert [flag for flag in told if "=" not in flag and flag != "--skipInference"] == expected
    assert "--optShapes=input_ids:16x32,attention_mask:16x32" in told
    assert "--maxShapes=input_ids:32x128,attention_mask:32x128" in told
    assert "--memPoolSize=workspace:2048" in told
    assert (tmp_path / "bundle" / "engine.plan").exists()
    assert not (tmp_path / "bundle" / ".engine.plan.tmp").exists()
    sums = hashlib.sha256((tmp_path / "bundle" / "SHA256SUMS").read_bytes()).hexdigest()
    assert (tmp_path / "bundle" / "engine.plan.of").read_text() == f"{sums}  SHA256SUMS\n"


def test_tensorrt_11_has_no_precision_but_that_of_the_graph(tmp_path: Path) -> None:
    done = build(tmp_path / "bundle", "11", "fp16", quantized=True)
    assert done.returncode == 2
    assert "this TensorRT has no --fp16: bundle a graph in fp16" in done.stderr
    assert not (tmp_path / "bundle" / "told").exists()
    assert not (tmp_path / "bundle" / "engine.plan.of").exists()


def test_a_damaged_bundle_is_not_built(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    assert build(folder, "10", None, quantized=False).returncode == 0
    (folder / "told").unlink()
    (folder / "model.onnx").write_text("another graph")
    environment = {"PATH": "/usr/bin:/bin", "TRTEXEC": str(folder / "trtexec")}
    done = subprocess.run(["sh", "build.sh"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "model.onnx: FAILED" in done.stdout + done.stderr
    assert not (folder / "told").exists()
