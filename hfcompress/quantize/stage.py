"""The `quantize` stage: Optimum's quantizer with the scheme that the target wants, and a count of what it did."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hfcompress.artifact import Artifact, check_replaceable, writing
from hfcompress.errors import StageError
from hfcompress.extras import require
from hfcompress.host import describe_host
from hfcompress.onnx_graph.operators import activation_products, integer_operator_count, model_file
from hfcompress.quantize.fallback import fall_back
from hfcompress.quantize.targets import DYNAMIC_OPERATORS, Scheme, scheme_for
from hfcompress.recipe.quantization import Target
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.stage import Inputs, Run

logger = logging.getLogger(__name__)


def quantize(config: QuantizeConfig, inputs: Inputs, run: Run) -> Artifact:
    """Dynamic INT8: quantized weights in the graph, activations quantized at run time."""
    scheme = scheme_for(config.target, describe_host().flags)

    def into(out: Path, excluded: Sequence[str] = ()) -> Path:
        return quantize_dynamic(inputs.source.path, out, scheme, per_channel=config.per_channel, excluded=excluded)

    details: dict[str, Any] = {"cpu": scheme.cpu, "reason": scheme.reason}
    if config.fallback is None:
        into(run.out)
    else:
        details["fallback"] = fall_back(config.fallback, inputs.source, into, run).model_dump(mode="json")
    details["integer_operators"] = count = _counted(model_file(run.out), inputs.source.path)
    logger.info("%s: %d integer products for %s (%s)", run.name, count, scheme.cpu, scheme.reason)
    return Artifact(run.out, "onnx", details=details)


def quantize_onnx(source: Path | str, out: Path | str, *, target: Target = "auto", per_channel: bool = True) -> int:
    """Dynamic INT8 of an exported folder, without a recipe.

    Args:
        source: a folder with one fp32 `.onnx` file.
        out: the folder to write; replaced as a whole.
        target: the CPU that will serve; `auto` asks this host.
        per_channel: one scale for each output channel of a weight.

    Returns:
        How many operators multiply integers.

    Raises:
        InputError: no graph, an extra is missing, or `out` holds what is not a model.
        StageError: nothing became integer, or the source is quantized already; nothing is written.
    """
    scheme = scheme_for(target, describe_host().flags)
    check_replaceable(Path(out), Path(source))
    with writing(Path(out)) as temporary:
        return _counted(quantize_dynamic(Path(source), temporary, scheme, per_channel=per_channel), Path(source))


def quantize_dynamic(
    source: Path, out: Path, scheme: Scheme, *, per_channel: bool, excluded: Sequence[str] = ()
) -> Path:
    """Write `model_quantized.onnx`, `ort_config.json`, the config and the processor into `out`; gives the graph's path.

    The nodes named by `excluded` stay in floating point.

    Raises:
        ExtraError: Optimum is not installed.
        StageError: the source is quantized already.
    """
    require("onnxruntime", "the `quantize` stage")
    from optimum.onnxruntime import ORTQuantizer

    graph = model_file(source)
    if integer_operator_count(graph) > 0:
        raise StageError(f"{source.name} is quantized already; give `from` the fp32 export")
    quantizer = ORTQuantizer.from_pretrained(source, file_name=graph.name)
    # A Gemm is first split into a product and an addition, and the product gets this name.
    floats = [*activation_products(graph), *excluded, *(f"{name}_MatMul" for name in excluded)]
    quantizer.quantize(_configuration(scheme, per_channel, floats), save_dir=out, file_suffix="quantized")
    return model_file(out)


def _counted(path: Path, source: Path) -> int:
    count = integer_operator_count(path)
    if count == 0:
        raise StageError(
            f"quantize found no MatMul with constant weights in {source.name}; INT8 would gain nothing; leave the "
            "stage out"
        )
    return count


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
