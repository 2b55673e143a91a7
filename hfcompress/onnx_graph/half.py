"""A graph in float16: weights of half the size, and products that a GPU computes at least twice as fast."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from hfcompress.errors import StageError

#: The largest number of float16 (IEEE 754 binary16).
LARGEST = 65_504.0
#: What masks add to what must not be attended to: the lowest number of float32, or minus infinity. In float16 the same
#: is done by a number that no attention score comes near to, and that a score may be added to.
_MASKS, _MASK = -1e30, -1e4


def to_half(model: Any) -> Any:
    """An `onnx.ModelProto` in float16, through ONNX Runtime's converter; inputs and outputs stay as they are.

    Args:
        model: in float32; its fill values of masks are changed in place.

    Raises:
        StageError: a weight is larger than float16 can hold.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    for name, values in _constants(model):
        masks = values <= _MASKS
        if masks.any():
            values[masks] = _MASK
        largest = float(np.abs(values).max(initial=0.0))
        if not largest <= LARGEST:
            raise StageError(
                f"`{name}` holds {largest:.3g}, and float16 ends at {LARGEST:g}; leave the export in fp32, or build a "
                "bf16 engine of it"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one for each number that becomes zero: the proof says what that costs
        half = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
    half.topological_sort()  # the casts of inputs come last otherwise, which ONNX does not allow
    return half.model


def _constants(model: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Every constant in float32 with its name; what is changed in an array is changed in the model."""
    from onnx import numpy_helper

    nodes = [(node.output[0], node.attribute) for node in model.graph.node if node.op_type in _HOLDERS]
    held = [(name, each.t) for name, attributes in nodes for each in attributes if each.name == "value"]
    for name, tensor in [*((tensor.name, tensor) for tensor in model.graph.initializer), *held]:
        if tensor.data_type != _FLOAT:
            continue
        values = numpy_helper.to_array(tensor).copy()
        before = values.copy()
        yield name, values
        if not np.array_equal(before, values, equal_nan=True):
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


_FLOAT = 1  # TensorProto.FLOAT
_HOLDERS = ("Constant", "ConstantOfShape")
