"""The layers of an IR and what each reads, straight from its XML: OpenVINO is not needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

#: Inputs of a FakeQuantize that are no data: the ends of its ranges.
_RANGES = frozenset({1, 2, 3, 4})
#: Element types that weights have. Shapes, axes and position ids are i32 and i64.
_WEIGHTS = frozenset({"f32", "f16", "bf16", "f64", "i8", "u8", "i4", "u4"})
_INTEGERS = frozenset({"i8", "u8", "i4", "u4"})


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: its friendly name; of a product that of the node of the ONNX graph.
        type: of the operator.
        elements: of a constant; 0 for what is none, 1 for a number alone.
        element_type: of a constant.
        inputs: the layer behind each input.
        readers: (reader, its input) of the output.
    """

    name: str
    type: str
    elements: int
    element_type: str
    inputs: dict[int, Layer]
    readers: list[tuple[Layer, int]]


def read_layers(path: Path) -> list[Layer]:
    """Every layer of a graph that was checked, bodies of loops not included."""
    root = ElementTree.parse(path).getroot()
    by_id = {entry.get("id", ""): _layer(entry) for entry in root.iterfind("layers/layer")}
    for edge in root.iterfind("edges/edge"):
        source, reader = by_id[edge.get("from-layer", "")], by_id[edge.get("to-layer", "")]
        place = int(edge.get("to-port", "0"))
        reader.inputs[place] = source
        source.readers.append((reader, place))
    return list(by_id.values())


def parameter_count(path: Path) -> int:
    """Elements of all weights of rank 1 and more; scales, zero points and ranges of quantizers are left out.

    Weights that are equal in every bit are one constant, and count once.
    """
    return sum(layer.elements for layer in read_layers(path) if _is_parameter(layer))


def is_quantized(path: Path) -> bool:
    """Whether a graph rounds to integers."""
    return any(layer.type == "FakeQuantize" for layer in read_layers(path))


def _layer(entry: ElementTree.Element) -> Layer:
    data = entry.find("data")
    said = {} if data is None else data.attrib
    sizes = [int(part) for part in said.get("shape", "").split(",") if part.strip()] if "offset" in said else []
    kind = entry.get("type", "")
    elements = math.prod(sizes) if kind == "Const" else 0
    return Layer(entry.get("name", ""), kind, elements, said.get("element_type", ""), {}, [])


def _is_parameter(layer: Layer) -> bool:
    if layer.type != "Const" or layer.element_type not in _WEIGHTS or layer.elements < 2:
        return False
    return not any(_is_range(reader, place) for reader, place in _read_by(layer))


def _read_by(constant: Layer) -> Iterator[tuple[Layer, int]]:
    """Who reads a constant, through a conversion of its type."""
    for reader, place in constant.readers:
        if reader.type == "Convert":
            yield from reader.readers
        else:
            yield reader, place


def _is_range(reader: Layer, place: int) -> bool:
    """Whether what a layer reads at an input says how to round: an end of a range, a scale, or a zero point."""
    if reader.type == "FakeQuantize":
        return place in _RANGES
    if reader.name.endswith("/nncf_smooth_quant"):
        return True
    other = reader.inputs.get(1 - place)
    return reader.type in ("Multiply", "Subtract") and place == 1 and other is not None and _is_integer_weight(other)


def _is_integer_weight(layer: Layer) -> bool:
    """A constant of integers on its way to floating point: Convert, then Subtract where there is a zero point."""
    kinds = ("Subtract", "Convert") if layer.type == "Subtract" else ("Convert",)
    for kind in kinds:
        behind = layer.inputs.get(0)
        if layer.type != kind or behind is None:
            return False
        layer = behind
    return layer.type == "Const" and layer.element_type in _INTEGERS
