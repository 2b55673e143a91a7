"""ONNX to OpenVINO's format, bit by bit the same each time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hfcompress.errors import StageError
from hfcompress.onnx_graph.file import model_file
from hfcompress.openvino_ir.core import openvino_core
from hfcompress.openvino_ir.file import MODEL
from hfcompress.openvino_ir.library import import_openvino, reason


def convert_onnx(graph: Path, out: Path) -> Path:
    """Write `openvino_model.xml` and `openvino_model.bin` of an ONNX graph into a folder, weights as they are.

    Raises:
        StageError: OpenVINO cannot read the graph; its reason.
    """
    try:
        return save(openvino_core().read_model(model_file(graph)), out)
    except RuntimeError as error:
        raise StageError(f"OpenVINO cannot convert {graph.name}: {reason(error)}") from error


def save(model: Any, out: Path) -> Path:
    """Write an `openvino.Model` into a folder as `openvino_model.xml` and `.bin`; gives the path of the XML."""
    _name_by_place_(model)
    # By default floats are stored as float16, silently.
    import_openvino().save_model(model, out / MODEL, compress_to_fp16=False)
    return out / MODEL


def _name_by_place_(model: Any) -> None:
    """Number operators without a name of their own by their place: OpenVINO counts them through the whole process."""
    for place, node in enumerate(model.get_ordered_ops()):
        if re.fullmatch(rf"{re.escape(node.get_type_name())}_\d+", node.get_friendly_name()):
            node.set_friendly_name(f"{node.get_type_name()}_{place}")
