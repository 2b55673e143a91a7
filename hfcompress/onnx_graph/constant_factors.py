"""Multiply no activations by a number that a weight can carry.

An attention scales its queries and keys, or its scores, by a constant. Where a product with a weight made them, the
weight and the bias can be scaled instead, once.
"""

from __future__ import annotations

from typing import Any

from hfcompress.onnx_graph.division import divide_, plan_scaling
from hfcompress.onnx_graph.wiring import Wiring


def fold_factors_(model: Any) -> int:
    """Rewrite an ONNX model in place: its outputs stay what they are, to rounding.

    The model's weights have to be in it (no external data).

    Args:
        model: an `onnx.ModelProto`.

    Returns:
        How many multiplications are gone.
    """
    wiring = Wiring(model)
    folded = [node for node in wiring.nodes if node.op_type in ("Mul", "Div") and _fold_(wiring, node)]
    for node in folded:
        model.graph.node.remove(node)
    if folded:
        wiring.drop_unread_constants_()
        del model.graph.value_info[:]
    return len(folded)


def _fold_(wiring: Wiring, node: Any) -> bool:
    """Whether the number of a `Mul` or `Div` went into a weight; its readers read what it read."""
    place = next((at for at, name in enumerate(node.input) if wiring.is_constant(name)), None)
    number = None if place is None else wiring.constant(node.input[place])
    if place is None or number is None or number.size != 1 or not _is_multiplied(wiring, node.output[0]):
        return False
    if number.item() == 0 or (node.op_type == "Div" and place == 0):
        return False
    other = node.input[1 - place]
    source = _before_moves(wiring, other)
    edits = None if source is None else plan_scaling(wiring, source)
    if edits is None:
        return False
    divide_(wiring, edits, (1 / number if node.op_type == "Mul" else number).reshape(1))
    for reader, at in wiring.readers[node.output[0]]:
        reader.input[at] = other
    return True


def _is_multiplied(wiring: Wiring, tensor: str) -> bool:
    """Whether nothing but products of two activations reads a tensor."""
    return tensor not in wiring.outputs and all(
        node.op_type == "MatMul" and not any(map(wiring.is_constant, node.input)) for node, _ in wiring.readers[tensor]
    )


def _before_moves(wiring: Wiring, tensor: str) -> str | None:
    """The tensor with channels last that this one is a transposition of; None: something else reads one of them."""
    while len(wiring.readers[tensor]) == 1 and tensor not in wiring.outputs:
        maker = wiring.makers.get(tensor)
        if maker is None or maker.op_type != "Transpose":
            return tensor
        tensor = maker.input[0]
    return None
