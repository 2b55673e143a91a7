"""Where the graph of an artifact is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfcompress.errors import ModelError
from hfcompress.onnx_graph.file import model_file

#: A graph without anything in it, as protobuf: field 1, `ir_version`, is 8.
EMPTY = b"\x08\x08"


def test_a_folder_should_hold_one_graph(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no ONNX graph \(nothing\)"):
        model_file(tmp_path)
    (tmp_path / "a.onnx").write_bytes(EMPTY)
    assert model_file(tmp_path) == tmp_path / "a.onnx"
    (tmp_path / "b.onnx").write_bytes(EMPTY)
    with pytest.raises(ModelError, match=r"holds 2 ONNX graphs \(a\.onnx, b\.onnx\)"):
        model_file(tmp_path)
    assert model_file(tmp_path / "b.onnx") == tmp_path / "b.onnx"
    with pytest.raises(ModelError, match="does not exist"):
        model_file(tmp_path / "missing")
