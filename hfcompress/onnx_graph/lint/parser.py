"""What TensorRT's ONNX parser reads, from NVIDIA's published table; see `tensorrt_operators.json` for its version."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class ParserTable:
    """One version of the table.

    Attributes:
        source: where it is published.
        tensorrt: the version that it is of.
        opset: the lowest and the highest version of ONNX's operators.
        supported: operators of ONNX that are read.
        unsupported: those that the table names as not read.
        takes: operator -> the integer and 8-bit types that it takes beside the usual ones.
    """

    source: str
    tensorrt: str
    opset: tuple[int, int]
    supported: frozenset[str]
    unsupported: frozenset[str]
    takes: dict[str, frozenset[str]]


@cache
def quantized_types() -> dict[int, str]:
    """What TensorRT quantizes to, of `onnx.TensorProto.DataType`, by the names of the table."""
    from onnx import TensorProto

    names = {"INT8": "INT8", "INT4": "INT4", "FLOAT8E4M3FN": "FP8", "FLOAT4E2M1": "FP4"}
    known = TensorProto.DataType.items()  # that of FP4 since onnx 1.18
    return {number: names[name] for name, number in known if name in names}


@cache
def tensorrt_parser() -> ParserTable:
    """The table that comes with this package."""
    text = files(__package__).joinpath("tensorrt_operators.json").read_text(encoding="utf-8")
    raw = json.loads(text)
    return ParserTable(
        source=raw["source"],
        tensorrt=raw["tensorrt"],
        opset=tuple(raw["opset"]),
        supported=frozenset(raw["supported"]),
        unsupported=frozenset(raw["unsupported"]),
        takes={name: frozenset(types) for name, types in raw["takes"].items()},
    )
