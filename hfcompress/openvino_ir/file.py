"""The XML of a model folder, or of an artifact: checked before anything opens it."""

from __future__ import annotations

from pathlib import Path

from hfcompress.errors import ModelError
from hfcompress.intake.ir import check_ir

#: What optimum-intel calls the graph of a folder; its constants are in `openvino_model.bin`.
MODEL = "openvino_model.xml"


def ir_file(path: Path) -> Path:
    """The `openvino_model.xml` of a folder, which may have tokenizers beside it, else its one .xml; a file is itself.

    Raises:
        ModelError: there is none, or more than one; names what is there.
        UnsafeError: it is no IR, or is one that must not be opened; see `check_ir`.
    """
    graph = _ir_file(path)
    check_ir(graph)
    return graph


def _ir_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelError(f"{path} does not exist; give an artifact's folder or an .xml file of OpenVINO")
    if (path / MODEL).is_file():
        return path / MODEL
    graphs = sorted(path.glob("*.xml"))
    if len(graphs) == 1:
        return graphs[0]
    found = ", ".join(sorted(entry.name for entry in graphs or path.iterdir())) or "nothing"
    count = f"{len(graphs)} graphs of OpenVINO" if graphs else "no graph of OpenVINO"
    raise ModelError(f"{path} holds {count} ({found}); give a folder with one .xml file, or the file itself")
