"""Where the graph of an artifact is."""

from __future__ import annotations

from pathlib import Path

from hfcompress.errors import ModelError
from hfcompress.intake.graph import check_graph


def model_file(path: Path) -> Path:
    """The one .onnx file of a folder; a file is itself. Its external data lies in its own folder: that is checked.

    Raises:
        ModelError: there is none, or more than one; names what is there.
        UnsafeError: it is no ONNX, or its external data is not there.
    """
    graph = _model_file(path)
    check_graph(graph)
    return graph


def _model_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelError(f"{path} does not exist; give an artifact's folder or an .onnx file")
    graphs = sorted(path.glob("*.onnx"))
    if len(graphs) == 1:
        return graphs[0]
    found = ", ".join(sorted(entry.name for entry in graphs or path.iterdir())) or "nothing"
    count = f"{len(graphs)} ONNX graphs" if graphs else "no ONNX graph"
    raise ModelError(f"{path} holds {count} ({found}); give a folder with one .onnx file, or the file itself")
