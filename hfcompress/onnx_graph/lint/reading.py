"""Rules about what TensorRT's parser reads at all: operators, their restrictions, types, sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hfcompress.onnx_graph.lint.findings import Fault, Linted
from hfcompress.onnx_graph.lint.graph import COMMUTING, QdqGraph
from hfcompress.onnx_graph.lint.parser import quantized_types
from hfcompress.onnx_graph.profiles import Profile
from hfcompress.onnx_graph.wiring import attribute

#: Operators that find the range of an activation at run time, and those that multiply what they give.
_DYNAMIC = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat"})
_DYNAMIC |= {"ConvInteger", "DynamicQuantizeLSTM"}
#: The start of the names of operators with integers inside.
_INTEGER = ("QLinear", "QGemm", "QAttention")
_OWN_DOMAINS = ("", "ai.onnx")
#: The domain of the operators that NVIDIA's tools write for their own parser.
_TENSORRT_DOMAIN = "trt"


def opset(linted: Linted) -> Iterator[Fault]:
    """The version of the operators."""
    low, high = linted.parser.opset
    found = linted.graph.opset
    if not low <= found <= high:
        yield Fault("graph", f"operator set {found}; TensorRT {linted.parser.tensorrt} reads {low} to {high}")
    per_channel = (node for node in linted.graph.quantizations() if (linted.graph.scale(node)) is not None)
    if found < 13 and any(linted.graph.scale(node).size > 1 for node in per_channel):  # type: ignore[union-attr]
        yield Fault("graph", f"operator set {found}, whose Q/DQ have no axis, with one scale for each channel")


def dynamic_quantization(linted: Linted) -> Iterator[Fault]:
    """Ranges that are found at run time."""
    for node in _all_nodes(linted.model):
        if node.op_type in _DYNAMIC:
            yield linted.at(node, f"{node.op_type} is INT8 whose ranges are found at run time")


def integer_operators(linted: Linted) -> Iterator[Fault]:
    """Integers inside of operators, in place of Q/DQ around them."""
    for node in _all_nodes(linted.model):
        if node.op_type.startswith(_INTEGER):
            yield linted.at(node, f"{node.op_type} has the integers inside")


def operators(linted: Linted) -> Iterator[Fault]:
    """Other operators that the table does not have."""
    own = {(function.domain, function.name) for function in linted.model.functions}
    for node in _all_nodes(linted.model):
        if node.op_type in _DYNAMIC or node.op_type.startswith(_INTEGER) or (node.domain, node.op_type) in own:
            continue
        if node.domain in _OWN_DOMAINS and node.op_type not in linted.parser.supported:
            said = "says that it is not read" if node.op_type in linted.parser.unsupported else "does not have it"
            yield linted.at(node, f"{node.op_type}: the table of {linted.parser.tensorrt} {said}")
        elif node.domain not in (*_OWN_DOMAINS, _TENSORRT_DOMAIN):
            yield linted.at(node, f"{node.op_type} is an operator of {node.domain}, not of ONNX")


def restrictions(linted: Linted) -> Iterator[Fault]:
    """What the table asks of an operator beside its name."""
    for node in linted.graph.nodes:
        broken = next(
            (what for what, holds in _RESTRICTIONS.get(node.op_type, ()) if not holds(linted.graph, node)), ""
        )
        if broken:
            yield linted.at(node, f"{node.op_type}: {broken}")


#: What should hold, and whether it does.
_Restriction = tuple[str, Callable[[QdqGraph, Any], bool]]


def _constant_input(place: int, name: str) -> _Restriction:
    def holds(graph: QdqGraph, node: Any) -> bool:
        return len(node.input) <= place or not node.input[place] or graph.is_known(node.input[place])

    return f"`{name}` has to be a constant", holds


def _first_output_alone(graph: QdqGraph, node: Any) -> bool:
    return not any(name and (graph.readers[name] or name in graph.outputs) for name in node.output[1:])


def _no_dilations(graph: QdqGraph, node: Any) -> bool:
    return set(attribute(node, "dilations", [])) <= {1}


def _in_two_or_three_axes(graph: QdqGraph, node: Any) -> bool:
    return len(attribute(node, "kernel_shape", [])) in (2, 3)


def _not_training(graph: QdqGraph, node: Any) -> bool:
    name = node.input[2] if len(node.input) > 2 else ""
    said = graph.constant(name) if name else None
    return not name or (said is not None and not said.any())


_POOL: tuple[_Restriction, ...] = (
    ("pools over 2 or 3 axes alone", _in_two_or_three_axes),
    ("takes no dilations", _no_dilations),
)
_AXES = (_constant_input(1, "axes"),)
_RESTRICTIONS: dict[str, tuple[_Restriction, ...]] = {
    "AveragePool": _POOL,
    "MaxPool": (*_POOL, ("`Indices` is not read", _first_output_alone)),
    "LpPool": (("takes no dilations", _no_dilations),),
    "CumSum": (_constant_input(1, "axis"),),
    "Dropout": (("`training_mode` has to be a constant, and false", _not_training),),
    "LayerNormalization": (("only the first output is read", _first_output_alone),),
    "OneHot": (_constant_input(1, "depth"),),
    "ScatterND": (("takes no `reduction`", lambda _, node: attribute(node, "reduction", b"none") == b"none"),),
    "TopK": (("`sorted` has to be 1", lambda _, node: attribute(node, "sorted", 1) == 1),),
    "Constant": (
        ("takes no sparse values or strings", lambda _, node: not {"sparse_value", "value_string", "value_strings"}
         & {each.name for each in node.attribute}),
    ),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), _AXES),
    **{f"Reduce{kind}": _AXES for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum")},
    "ReduceSumSquare": _AXES,
}  # fmt: skip


def tensor_types(linted: Linted) -> Iterator[Fault]:
    """8-bit and other integers in an operator that computes with floating point, or is not known to take them."""
    names = _limited_types()
    for node in linted.graph.nodes:
        if node.op_type not in linted.parser.supported or node.op_type == "QuantizeLinear":
            continue
        allowed = linted.parser.takes.get(node.op_type, frozenset())
        given = [names.get(linted.graph.types.get(name, 0)) for name in _data_inputs(node)]
        wrong = next((kind for kind in given if kind is not None and kind not in allowed), None)
        if wrong is not None:
            what = f"{node.op_type} is given {wrong}, which it does not take"
            yield linted.at(node, what, _is_dequantized_alike(linted.graph, node))


def _is_dequantized_alike(graph: QdqGraph, node: Any) -> bool:
    """Whether it only moves integers, and all that reads them is DQ by one scale, whose readers can be renamed."""
    readers = [reader for reader, _ in graph.readers[node.output[0]]]
    if node.op_type not in COMMUTING - {"Concat", "Split"} or not readers or node.output[0] in graph.outputs:
        return False
    alike = all(each.op_type == "DequantizeLinear" and graph.same_parameters(each, readers[0]) for each in readers)
    scale = graph.scale(readers[0]) if alike else None
    return scale is not None and scale.size == 1 and all(graph.can_be_renamed(each.output[0]) for each in readers)


def _data_inputs(node: Any) -> list[str]:
    # What DequantizeLinear takes as its integers has a rule of its own.
    return [] if node.op_type == "DequantizeLinear" else [name for name in node.input if name]


def _limited_types() -> dict[int, str]:
    """The types that few operators take, by the names of the table."""
    from onnx import TensorProto

    never = ("INT16", "UINT16", "UINT32", "UINT64", "STRING", "COMPLEX64", "COMPLEX128")
    others = {getattr(TensorProto, name): name for name in ("UINT8", *never)}
    return {**quantized_types(), **others}


def profiles(linted: Linted) -> Iterator[Fault]:
    """Whether an engine's sizes fit the inputs; where they are not known yet, nothing is said."""
    if linted.profiles is None:
        return
    constants = {tensor.name for tensor in linted.model.graph.initializer}
    inputs = {each.name: each for each in linted.model.graph.input if each.name not in constants}
    for name in linted.profiles.keys() - inputs.keys():
        yield Fault(name, f"a profile for an input that the graph lacks; it has {', '.join(inputs)}")
    for name, value in inputs.items():
        sizes = [size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim]
        profile = linted.profiles.get(name)
        if profile is None and None in sizes:
            dynamic = ", ".join(str(axis) for axis, size in enumerate(sizes) if size is None)
            yield Fault(name, f"axes {dynamic} are dynamic, and no profile bounds them")
        elif profile is not None and (why := _misfit(sizes, profile)):
            yield Fault(name, why)


def _misfit(sizes: list[int | None], profile: Profile) -> str:
    if len(profile.maximum) != len(sizes):
        return f"has {len(sizes)} axes, and its profile {len(profile.maximum)}"
    if not profile.is_ordered:
        return "its profile should have 1 <= minimum <= optimum <= maximum in every axis"
    for axis, (size, low, high) in enumerate(zip(sizes, profile.minimum, profile.maximum, strict=True)):
        if size is not None and not low == high == size:
            return f"axis {axis} is {size}, and its profile says {low} to {high}"
    return ""


def _all_nodes(model: Any) -> Iterator[Any]:
    """Every node, those of subgraphs and functions too."""
    for holder in (model.graph, *model.functions):
        yield from _within(holder)


def _within(holder: Any) -> Iterator[Any]:
    for node in holder.node:
        yield node
        for each in node.attribute:
            for graph in [each.g] if each.HasField("g") else each.graphs:
                yield from _within(graph)
