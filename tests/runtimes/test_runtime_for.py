"""Which runtime an artifact gets, and which it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hfcompress.errors import InputError
from hfcompress.runtimes.open import runtime_for
from hfcompress.runtimes.settings import Settings


def test_a_torch_folder_runs_in_torch(bert_folder: Path) -> None:
    runtime = runtime_for(bert_folder, "torch", "text-classification", Settings(threads=1))
    assert (runtime.name, runtime.threads) == ("torch", 1)


@pytest.mark.export
@pytest.mark.parametrize("named", [None, "onnxruntime", "onnxruntime:CPUExecutionProvider"])
def test_an_onnx_folder_runs_in_onnx_runtime(
    named: str | None, tmp_path: Path, write_graph: Callable[..., Path]
) -> None:
    write_graph(tmp_path / "model.onnx")
    runtime = runtime_for(tmp_path, "onnx", "text-classification", Settings(named, 1))
    assert (runtime.name, runtime.threads) == ("onnxruntime:CPUExecutionProvider", 1)


@pytest.mark.parametrize(
    "format, runtime, way_out", [("torch", "onnxruntime", "torch"), ("onnx", "torch", "onnxruntime")]
)
def test_a_runtime_of_another_format_is_refused(format: str, runtime: str, way_out: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"`{runtime}` cannot run .* which is {format}; use `{way_out}`"):
        runtime_for(tmp_path, format, "text-classification", Settings(runtime))


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`gguf`, which no runtime takes"):
        runtime_for(tmp_path, "gguf", "text-classification")


@pytest.mark.parametrize("format, runtime", [("onnx", None), ("onnx", "simulated:avx2"), ("torch", "torch")])
def test_a_precision_that_would_be_dropped_is_refused(format: str, runtime: str | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a precision of bf16 is OpenVINO's alone"):
        runtime_for(tmp_path, format, "text-classification", Settings(runtime, precision="bf16"))
