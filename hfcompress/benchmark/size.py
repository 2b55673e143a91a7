"""How large a model is, read from its files without loading it."""

from __future__ import annotations

import math
from pathlib import Path

from hfcompress.artifact import Artifact
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.operators import integer_operator_count, parameter_count
from hfcompress.openvino_ir import layers
from hfcompress.openvino_ir.file import ir_file
from hfcompress.runtimes.openvino import integer_product_count


def parameters(artifact: Artifact) -> int:
    """Number of parameters, also of a quantized graph; the scales of a model that is trained for INT8 are none."""
    if artifact.format == "onnx":
        return parameter_count(model_file(artifact.path))
    if artifact.format == "openvino":
        return layers.parameter_count(ir_file(artifact.path))
    from hfcompress.models.fake_quant.folder import SCALES

    weights = (path for path in sorted(artifact.path.glob("*.safetensors")) if path.name != SCALES)
    return sum(_tensor_elements(path) for path in weights)


def integer_operators(artifact: Artifact) -> int | None:
    """How many operators multiply integers, as the runtime that it is for executes it here; None for a torch model."""
    if artifact.format == "openvino" or (artifact.runtime or "").startswith("openvino"):
        counted = (artifact.details or {}).get("integer_operators")  # to count is to compile the graph
        return integer_product_count(artifact.path) if counted is None else int(counted)
    return integer_operator_count(model_file(artifact.path)) if artifact.format == "onnx" else None


def _tensor_elements(path: Path) -> int:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - no mapping
