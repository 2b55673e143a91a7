"""From the graph that Optimum exported to OpenVINO's format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hfcompress.onnx_graph.file import model_file
from hfcompress.openvino_ir.convert import convert_onnx

#: What a proof finds out.
Proof = TypeVar("Proof")


def convert_where_it_holds(folder: Path, prove: Callable[[Path], Proof]) -> Proof:
    """Replace the ONNX graph of an exported folder by the same one in OpenVINO's format, and prove that.

    Args:
        folder: with one ONNX graph.
        prove: raises `StageError` where a graph does not answer as it should.

    Raises:
        StageError: OpenVINO cannot read the graph, or what it wrote does not answer as it should.
    """
    converted = convert_onnx(model_file(folder), folder)
    for path in folder.glob("*.onnx*"):
        path.unlink()
    return prove(converted)
