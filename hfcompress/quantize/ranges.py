"""Ranges of the activations of an fp32 graph: the graph runs, batch by batch, and collectors look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hfcompress.calibration.collectors import make_collector
from hfcompress.errors import InputError
from hfcompress.quantize.layers import Layers
from hfcompress.quantize.observation import observed
from hfcompress.recipe.quantization import Calibration

#: Tensor -> (low, high).
Ranges = dict[str, tuple[float, float]]


def activations_of(layers: Layers, graph: Any) -> tuple[str, ...]:
    """The tensors whose ranges static INT8 needs: what products read, and what goes between convolutions."""
    constants = {tensor.name for tensor in graph.initializer}
    names = [node.input[0] for node in layers.products]
    names += [node.output[0] for node in layers.products if node.op_type == "Conv"]
    names += [name for node in layers.between for name in (*node.input, *node.output)]
    names += [residual.tensor for residual in layers.residuals]
    return tuple(name for name in dict.fromkeys(names) if name and name not in constants)


def find_ranges(
    model: Any, tensors: tuple[str, ...], batches: Iterable[Mapping[str, np.ndarray]], calibration: Calibration
) -> Ranges:
    """The range of each tensor over some rows.

    One batch of activations is in memory at a time, so that memory does not grow with the rows. Padding is no data:
    where a tensor has a row for each token, those that `attention_mask` hides do not count. What a model computes for
    them is arbitrary and never read, and would widen ranges.

    Args:
        model: the fp32 `onnx.ModelProto`.
        tensors: names of float32 tensors, inputs of the graph among them.
        batches: inputs by name.
        calibration: how ranges are found.

    Raises:
        InputError: no rows, or values that are NaN or infinite; names the tensor.
    """
    make = make_collector(calibration)
    collectors = {name: make() for name in tensors}
    count = 0
    for values in observed(model, tensors, batches):
        count += 1
        for name, collector in collectors.items():
            try:
                collector.update(values[name])
            except InputError as error:
                raise InputError(f"calibration: {error} in {name}; look at the rows and at the model") from error
    if count == 0:
        raise InputError("there are no rows to calibrate on; give the training split some, or leave `calibration` out")
    return {name: collector.range() for name, collector in collectors.items()}
