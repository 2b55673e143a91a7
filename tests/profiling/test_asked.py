"""What an artifact's files say was left in floating point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hfcompress.artifact import Manifest, write_manifest
from hfcompress.profiling.asked import read_asked

NODE, MODULE = "/bert/encoder/layer.0/output/dense/MatMul", "bert.encoder.layer.0.output.dense"


def artifact(
    folder: Path, *, skip: tuple[str, ...] = (), details: dict[str, Any] | None = None, **optimum: Any
) -> Path:
    (folder / "ort_config.json").write_text(json.dumps({"quantization": optimum}), encoding="utf-8")
    write_manifest(
        folder,
        Manifest(
            name="int8",
            stage="quantize",
            format="onnx",
            task="text-classification",
            files={},
            key="",
            recipe={"quantize": {"skip": list(skip)}},
            parents={},
            versions={},
            seed=0,
            host={},
            details=details or {},
        ),
    )
    return folder


@pytest.mark.parametrize(
    "said",
    [
        {"skip": (MODULE,)},
        {"skip": ("bert.encoder.layer.0",)},
        {"skip": ("*.layer.0.*",)},
        {"details": {"skip": ["bert.encoder"]}},
        {"details": {"fallback": {"steps": [{"returned": []}, {"returned": [NODE]}]}}},
        {"nodes_to_exclude": [NODE]},
        {"nodes_to_quantize": ["/classifier/Gemm"]},
    ],
)
def test_what_was_left_out_is_found_wherever_it_is_said(said: dict[str, Any], tmp_path: Path) -> None:
    assert read_asked(artifact(tmp_path, **said)).excludes(NODE, (MODULE,))


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"skip": ("bert.encoder.layer.00", "encoder.layer.0")},
        {"details": {"fallback": {"steps": [{"returned": [NODE]}, {"returned": []}]}}},
        {"nodes_to_quantize": [NODE]},
    ],
)
def test_what_was_not_left_out_is_not(said: dict[str, Any], tmp_path: Path) -> None:
    assert not read_asked(artifact(tmp_path, **said)).excludes(NODE, (MODULE,))
