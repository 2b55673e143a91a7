"""ONNX graphs, judged before a runtime or the onnx package opens them: where their external data lies.

A tensor of an ONNX graph may be a name, an offset and a length instead of bytes. Whoever reads such a graph opens that
file: it has to lie in the model's own folder and hold as many bytes.
"""

from __future__ import annotations

import math
import mmap
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from hfcompress.errors import UnsafeError
from hfcompress.intake.wire import MalformedError, fields, text, varints

#: message -> field -> the message in it, of onnx.proto; only what leads to tensors.
MESSAGES: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}
#: Fields of TensorProto.
_DIMS, _TYPE, _NAME, _EXTERNAL, _LOCATION = 1, 2, 8, 13, 14
#: `TensorProto.DataType` -> bits of one element.
BITS = {
    25: 2,
    26: 2,
    21: 4,
    22: 4,
    23: 4,
    27: 6,
    28: 6,
    2: 8,
    3: 8,
    9: 8,
    17: 8,
    18: 8,
    19: 8,
    20: 8,
    24: 8,
    4: 16,
    5: 16,
    10: 16,
    16: 16,
    1: 32,
    6: 32,
    12: 32,
    7: 64,
    11: 64,
    13: 64,
    14: 64,
    15: 128,
}


@dataclass(frozen=True)
class ExternalTensor:
    """A tensor whose bytes are elsewhere, as the graph says it: nothing here has been checked."""

    name: str
    dims: tuple[int, ...]
    type: int
    entries: tuple[tuple[str, str], ...]


def check_graph(path: Path) -> None:
    """Refuse a graph that leads out of its folder, or beyond the end of a file in it. Reads no weights.

    Raises:
        UnsafeError: names the tensor and where it leads; or the file is no ONNX.
    """
    folder = path.parent.resolve()
    try:
        for tensor in external_tensors(path):
            fault = _fault(tensor, folder)
            if fault is not None:
                raise UnsafeError(
                    f"{path}: the external data of the tensor `{tensor.name}` {fault}; get the model again, whole and "
                    "as plain files in one folder (`hf download --local-dir`)"
                )
    except MalformedError as error:
        raise UnsafeError(f"{path} is no ONNX model: it holds {error}; get the file again") from None


def external_tensors(path: Path) -> list[ExternalTensor]:
    """Every tensor of a graph, its subgraphs and functions whose bytes lie outside the file.

    Raises:
        MalformedError: the file is no protobuf message.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise MalformedError("nothing")
        # Not closed by hand: views into it live as long as the traceback of an error.
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return [found for found in map(_external, _tensors(whole)) if found is not None]


def _tensors(model: memoryview) -> Iterator[memoryview]:
    # A stack and no recursion: nesting is the file's own word.
    stack = [("ModelProto", model)]
    while stack:
        kind, message = stack.pop()
        if kind == "TensorProto":
            yield message
            continue
        inner = MESSAGES[kind]
        stack += [
            (inner[number], value)
            for number, value in fields(message)
            if number in inner and isinstance(value, memoryview)
        ]


def _external(tensor: memoryview) -> ExternalTensor | None:
    found: dict[int, Any] = {_DIMS: [], _EXTERNAL: [], _NAME: "", _TYPE: 0, _LOCATION: 0}
    for number, value in fields(tensor):
        if number == _DIMS:
            found[_DIMS] += varints(value)
        elif number == _EXTERNAL and isinstance(value, memoryview):
            found[_EXTERNAL].append(_entry(value))
        elif number == _NAME:
            found[_NAME] = text(value)
        elif number in (_TYPE, _LOCATION):
            found[number] = value
    if not found[_EXTERNAL] and found[_LOCATION] != 1:
        return None
    return ExternalTensor(found[_NAME], tuple(found[_DIMS]), found[_TYPE], tuple(found[_EXTERNAL]))


def _entry(message: memoryview) -> tuple[str, str]:
    found = {number: text(value) for number, value in fields(message)}
    return found.get(1, ""), found.get(2, "")


def _fault(tensor: ExternalTensor, folder: Path) -> str | None:
    """What is wrong with where a tensor's bytes are said to be; None: nothing."""
    entries = dict(tensor.entries)
    if len(entries) < len(tensor.entries):
        return "names its place twice"
    location = entries.get("location", "")
    fault = _location_fault(location, folder)
    if fault is not None:
        return fault
    size = (folder / location).stat().st_size
    offset, length = _number(entries.get("offset", "0")), _number(entries.get("length", str(size)))
    if offset is None or length is None:
        return f"has no whole numbers as offset and length: {entries.get('offset')!r}, {entries.get('length')!r}"
    if "length" not in entries:
        length = max(0, size - offset)
    if offset + length > size:
        return f"ends at byte {offset + length} of {location!r}, which has {size}"
    bits = BITS.get(tensor.type)
    needed = None if bits is None else -(-math.prod(tensor.dims) * bits // 8)
    if needed is None or (needed != length if "length" in entries else needed > length):
        return f"has {length} bytes in {location!r}, and {list(tensor.dims)} of type {tensor.type} takes {needed}"
    return None


def _location_fault(location: str, folder: Path) -> str | None:
    parts = PurePosixPath(location).parts
    if not parts or "\0" in location:
        return f"names no file: {location!r}"
    if PurePosixPath(location).is_absolute() or PureWindowsPath(location).drive or "\\" in location:
        return f"lies at {location!r}, which is no path inside the model's folder"
    if ".." in parts:
        return f"leads out of the model's folder: {location!r}"
    target = (folder / location).resolve()
    if folder not in target.parents:
        return f"leads out of the model's folder through a link: {location!r}"
    if not target.exists():
        return f"lies in {location!r}, which does not exist"
    return None if stat.S_ISREG(target.stat().st_mode) else f"lies in {location!r}, which is no plain file"


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
