"""Dynamic INT8 through Optimum: weights are integers in the graph, activations become integers at run time."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.operators import activation_products
from hfcompress.quantize.targets import DYNAMIC_OPERATORS, Scheme, check_dynamic


def quantize_dynamic(
    source: Path, out: Path, scheme: Scheme, *, per_channel: bool, excluded: Collection[str] = ()
) -> Path:
    """Write `model_quantized.onnx`, `ort_config.json`, the config and the processor into `out`; gives the graph's path.

    Args:
        source: a folder with one fp32 graph.
        out: a folder.
        scheme: the target's.
        per_channel: one scale for each output channel of a weight.
        excluded: names of nodes that stay in floating point.

    Raises:
        InputError: the target does not run dynamic INT8.
    """
    from optimum.onnxruntime import ORTQuantizer

    check_dynamic(scheme)
    graph = model_file(source)
    # A Gemm is first split into a product and an addition, and the product gets this name.
    kept = [*activation_products(graph), *excluded, *(f"{name}_MatMul" for name in excluded)]
    quantizer = ORTQuantizer.from_pretrained(source, file_name=graph.name)
    quantizer.quantize(_configuration(scheme, per_channel, kept), save_dir=out, file_suffix="quantized")
    return model_file(out)


def _configuration(scheme: Scheme, per_channel: bool, excluded: list[str]) -> Any:
    from onnxruntime.quantization import QuantFormat, QuantizationMode, QuantType
    from optimum.onnxruntime.configuration import QuantizationConfig

    return QuantizationConfig(
        is_static=False,
        format=QuantFormat.QOperator,
        mode=QuantizationMode.IntegerOps,
        activations_dtype=QuantType.QUInt8,
        weights_dtype=QuantType.QInt8 if scheme.signed_weights else QuantType.QUInt8,
        weights_symmetric=True,
        per_channel=per_channel,
        reduce_range=scheme.reduce_range,
        operators_to_quantize=list(DYNAMIC_OPERATORS),
        # Both factors of an attention product are activations: quantizing them at run time costs more than it gains.
        nodes_to_exclude=excluded,
    )
