"""OpenVINO's IR, judged before OpenVINO opens it: XML that is only a graph, whose constants lie within their file.

The format (https://docs.openvino.ai/2026/documentation/openvino-ir-format.html): `<net>` with `<layer>`s, each of a
type and an operator set, and `<edge>`s between them by their ids; a `Const` layer names an offset and a size in bytes
in the `.bin` beside the XML.
What is dangerous in it is XML's own (a document type can name other files, and entities that grow without end), and
bounds beyond the file. An operator of an extension runs code only where someone has loaded that extension, which
hfcompress never does: OpenVINO would refuse it, and so does this, by name.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.parsers import expat

from hfcompress.errors import UnsafeError

#: Bytes of XML; a model of 24 encoder layers, quantized, takes about 2 MB.
LARGEST_XML = 256_000_000
#: Layers within layers (bodies of loops); a graph of Transformers has none.
_DEEPEST = 64
#: Axes of a constant.
_MOST_AXES = 64
_OPERATOR_SET = re.compile(r"opset\d+")
#: Element type -> bits.
_BITS = {"boolean": 8, "u1": 1, "u2": 2, "u3": 3, "u4": 4, "u6": 6, "i4": 4, "nf4": 4, "f4e2m1": 4}
_BITS |= dict.fromkeys(("u8", "i8", "f8e4m3", "f8e5m2", "f8e8m0"), 8)
_BITS |= dict.fromkeys(("u16", "i16", "f16", "bf16"), 16) | dict.fromkeys(("u32", "i32", "f32"), 32)
_BITS |= dict.fromkeys(("u64", "i64", "f64"), 64)


def check_ir(path: Path) -> None:
    """Refuse an IR that is more than a graph, or whose constants lie beyond the end of its weights. Reads no weights.

    Args:
        path: the XML; its weights have the same name with `.bin`.

    Raises:
        UnsafeError: says what and where.
    """
    if path.stat().st_size > LARGEST_XML:
        raise UnsafeError(f"{path} is larger than {LARGEST_XML / 1e6:g} MB, so it is no graph; get the model again")
    weights = path.with_suffix(".bin")
    size = weights.stat().st_size if weights.is_file() else None
    if size is not None and path.resolve().parent != weights.resolve().parent:
        raise UnsafeError(f"{weights} leads out of the model's folder; get the model again, as plain files")
    try:
        _Reader(path, size).read()
    except expat.ExpatError as error:
        raise UnsafeError(f"{path} is no IR of OpenVINO: its XML is broken ({error}); get the file again") from None


class _Reader:
    """Goes through the elements of one XML, and keeps no more than the ids of its layers."""

    def __init__(self, path: Path, weights: int | None) -> None:
        self._path, self._weights = path, weights
        self._open: list[str] = []
        self._layer = ""
        self._ids: set[str] = set()
        self._named: set[str] = set()  # by edges

    def read(self) -> None:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = lambda _: self._open.pop()
        with self._path.open("rb") as file:
            parser.ParseFile(file)
        if unknown := sorted(self._named - self._ids):
            raise self._fault(f"an edge names the layer {unknown[0][:80]!r}, which is not there")

    def _fault(self, what: str) -> UnsafeError:
        return UnsafeError(f"{self._path}: {what}; get the model again from where it was made")

    def _refuse_doctype(self, *_: Any) -> None:
        raise self._fault("holds a document type, which may lead to other files or grow without end, and no IR has one")

    def _begin(self, name: str, said: dict[str, str]) -> None:
        if not self._open and name != "net":
            raise self._fault(f"begins with <{name[:80]}>, so it is no IR of OpenVINO")
        self._open.append(name)
        if len(self._open) > 8 * _DEEPEST:
            raise self._fault("nests without end")
        if self._open == ["net", "layers", "layer"]:  # bodies of loops count anew
            self._ids.add(said.get("id", ""))
        elif self._open == ["net", "edges", "edge"]:
            self._check_edge(said)
        if name == "layer":
            self._layer = said.get("name", "")[:120]
            version, kind = said.get("version", ""), said.get("type", "")[:80]
            if not _OPERATOR_SET.fullmatch(version):
                raise self._fault(f"the layer `{self._layer}` is a {kind} of {version[:80]!r}, an extension's operator")
        elif name == "data" and "offset" in said:
            self._check_constant(said)

    def _check_edge(self, said: dict[str, str]) -> None:
        ends = [said.get(end, "") for end in ("from-layer", "to-layer")]
        self._named.update(ends)
        if _number(said.get("to-port", "")) is None:
            place = f"from the layer {ends[0][:80]!r} to {ends[1][:80]!r}"
            raise self._fault(f"the edge {place} has no whole number as `to-port`")

    def _check_constant(self, said: dict[str, str]) -> None:
        offset, size = _number(said["offset"]), _number(said.get("size", ""))
        if offset is None or size is None:
            raise self._fault(f"the constant `{self._layer}` has no whole numbers as offset and size")
        if self._weights is None:
            raise self._fault(f"{self._path.with_suffix('.bin').name} is missing, where its constants are")
        if offset + size > self._weights:
            what = f"the constant `{self._layer}` ends at byte {offset + size} of weights that have {self._weights}"
            raise self._fault(what)
        kind, shape = said.get("element_type", ""), said.get("shape", "")
        sizes = [_number(part.strip()) for part in shape.split(",") if part.strip()]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes) or len(sizes) > _MOST_AXES:
            raise self._fault(f"the constant `{self._layer}` has the shape [{shape[:80]}], which is no list of sizes")
        bits = _BITS.get(kind)  # None: strings have no fixed size
        if bits is not None and -(-math.prod(known) * bits // 8) != size:
            raise self._fault(f"the constant `{self._layer}` has {size} bytes, and [{shape}] of {kind} takes others")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
