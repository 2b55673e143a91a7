"""Graphs in OpenVINO's format, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def constant(number: int, name: str, shape: str, offset: int, size: int, kind: str = "f32") -> str:
    """A layer that names bytes of the weights."""
    data = f'<data element_type="{kind}" shape="{shape}" offset="{offset}" size="{size}"/>'
    return f'<layer id="{number}" name="{name}" type="Const" version="opset1">{data}</layer>'


def layer(number: int, name: str, kind: str, version: str = "opset1") -> str:
    """A layer without constants of its own."""
    return f'<layer id="{number}" name="{name}" type="{kind}" version="{version}"/>'


def edge(source: int, reader: int, place: int) -> str:
    """One input of a layer."""
    return f'<edge from-layer="{source}" from-port="0" to-layer="{reader}" to-port="{place}"/>'


def write(folder: Path, layers: Sequence[str], edges: Sequence[str] = (), *, weights: int = 64, head: str = "") -> Path:
    """`openvino_model.xml` and `openvino_model.bin` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "openvino_model.bin").write_bytes(np.zeros(weights, dtype=np.uint8).tobytes())
    body = f"<layers>{''.join(layers)}</layers><edges>{''.join(edges)}</edges>"
    path = folder / "openvino_model.xml"
    path.write_text(f'<?xml version="1.0"?>{head}<net name="made" version="11">{body}</net>')
    return path
