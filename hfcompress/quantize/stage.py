"""The `quantize` stage: Optimum's quantizer with the scheme that the target wants, and a count of what it did."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.artifact import Artifact
from hfcompress.errors import StageError
from hfcompress.extras import require
from hfcompress.host import describe_host
from hfcompress.onnx_graph.operators import dequantized_product_count, integer_operator_count, is_quantized, model_file
from hfcompress.quantize.dynamic import quantize_dynamic
from hfcompress.quantize.layers import skipped
from hfcompress.quantize.rows import calibration_batches
from hfcompress.quantize.static import calibrate, quantize_static
from hfcompress.quantize.targets import Scheme, scheme_for
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.stage import Inputs, Run

logger = logging.getLogger(__name__)

#: Gives the rows to calibrate on; called once, and only for static INT8.
Rows = Callable[[], Iterator[dict[str, np.ndarray]]]
#: Writes INT8 into a folder, but for the nodes of these names; gives the graph's path.
Quantizer = Callable[[Path, Collection[str]], Path]


def quantize(config: QuantizeConfig, inputs: Inputs, run: Run) -> Artifact:
    """Static INT8 where the config has a calibration, dynamic INT8 otherwise."""
    source, scheme = inputs.source.path, scheme_for(config.target, describe_host().flags)
    task, samples = run.data.task, 0 if config.calibration is None else config.calibration.samples
    write = quantizer_for(
        config, source, scheme, lambda: calibration_batches(run.data, task.load_processor(source), samples, run.seed)
    )
    count = counted(write(run.out, ()), source, scheme)
    logger.info("%s: %d integer products for %s (%s)", run.name, count, scheme.target, scheme.reason)
    return Artifact(run.out, "onnx", details={**details_of(scheme), "integer_operators": count})


def quantizer_for(config: QuantizeConfig, source: Path, scheme: Scheme, rows: Rows) -> Quantizer:
    """What quantizes a source; a static one is calibrated here, once, however often it writes.

    Args:
        config: the stage's; its `fallback` is not read.
        source: a folder with one fp32 graph.
        scheme: the target's.
        rows: what it is calibrated on.

    Raises:
        ExtraError: Optimum is not installed.
        InputError: the target, `skip`, the rows or the graph's operator set do not fit.
        StageError: the source is quantized already, or holds nothing to quantize.
    """
    require("onnxruntime", "the `quantize` stage")
    import onnx

    path = model_file(source)
    if is_quantized(path):
        raise StageError(f"{source.name} is quantized already; give `from` the fp32 export")
    skip = skipped(onnx.load(path, load_external_data=False).graph, config.skip)
    per_channel = config.per_channel
    if config.calibration is None:
        return lambda out, excluded: quantize_dynamic(
            source, out, scheme, per_channel=per_channel, excluded=skip.union(excluded)
        )
    calibrated = calibrate(source, scheme, config.calibration, rows(), skip)
    return lambda out, excluded: quantize_static(
        calibrated, out, scheme, per_channel=per_channel, excluded=skip.union(excluded)
    )


def details_of(scheme: Scheme) -> dict[str, Any]:
    """What an artifact's manifest says of its target; `runtime` where it is not the format's own."""
    details = {"target": scheme.target, "reason": scheme.reason}
    if scheme.provider != "CPUExecutionProvider":
        details["runtime"] = f"onnxruntime:{scheme.provider}"
    return details


def counted(path: Path, source: Path, scheme: Scheme) -> int:
    """How many products became integer: of a graph for a CPU, by ONNX Runtime here; of others, those between Q/DQ.

    Raises:
        StageError: none.
    """
    on_cpu = scheme.provider == "CPUExecutionProvider"
    count = integer_operator_count(path) if on_cpu else dequantized_product_count(path)
    if count == 0:
        raise StageError(
            f"quantize found no MatMul with constant weights in {source.name}; INT8 would gain nothing; leave the "
            "stage out"
        )
    return count
