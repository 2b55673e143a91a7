"""INT8 of OpenVINO's format: NNCF's post-training quantization, with its preset for transformers where there is one.

NNCF places its quantizers by the graph, and corrects biases by what rounding shifts (`fast_bias_correction`). For
transformers it also smooths (SmoothQuant, alpha 0.95), and leaves alone what their accuracy hangs on. Here it is given
the ranges that `minmax` means everywhere in hfcompress, the least and the greatest value of all rows, and rows one by
one, so that no padding takes part. It needs no torch, and sends nothing: see `openvino_ir.library`.
"""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.artifact import MANIFEST, Artifact
from hfcompress.errors import InputError, StageError
from hfcompress.extras import require
from hfcompress.host import describe_host
from hfcompress.models.architectures import ARCHITECTURES
from hfcompress.models.folder import read_config
from hfcompress.models.quiet import quiet
from hfcompress.openvino_ir.convert import save
from hfcompress.openvino_ir.core import keeping_signal_stack, openvino_core
from hfcompress.openvino_ir.file import ir_file
from hfcompress.openvino_ir.layers import is_quantized, read_layers
from hfcompress.openvino_ir.library import import_nncf, sending_nothing
from hfcompress.quantize.layers import matching
from hfcompress.quantize.rows import calibration_batches
from hfcompress.quantize.targets import scheme_for
from hfcompress.recipe.nncf import misfits
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.runtimes.base import check_inputs
from hfcompress.runtimes.lengths import MASK
from hfcompress.runtimes.openvino import integer_product_count
from hfcompress.stage import Inputs, Run

logger = logging.getLogger(__name__)

#: Layers that `skip` may name.
_SKIPPABLE = frozenset({"MatMul", "Convolution", "GroupConvolution", "Gather"})
#: NNCF's own alpha of SmoothQuant for products.
_ALPHA = 0.95
_REASON = "NNCF places quantizers by the graph: uint8 or int8 activations, signed weights with one scale a channel"

Batches = Iterable[Mapping[str, np.ndarray]]


def quantize_with_nncf(config: QuantizeConfig, inputs: Inputs, run: Run) -> Artifact:
    """The `quantize` stage for a source in OpenVINO's format. See `write_int8` for what it raises."""
    samples = 0 if config.calibration is None else config.calibration.samples
    processor = run.data.task.load_processor(inputs.source.path)
    details = write_int8(
        config, inputs.source.path, run.out, calibration_batches(run.data, processor, samples, run.seed)
    )
    logger.info("%s: %d integer products in OpenVINO, by NNCF", run.name, details["integer_operators"])
    return Artifact(run.out, "openvino", details=details)


def write_int8(config: QuantizeConfig, source: Path, out: Path, batches: Batches) -> dict[str, Any]:
    """Write INT8 of a folder in OpenVINO's format into another one, with its config and processor.

    Args:
        config: the stage's.
        source: the fp32 folder.
        out: an empty folder.
        batches: what is calibrated on.

    Returns:
        For the manifest: the target, how much became integer, and how NNCF was asked.

    Raises:
        ExtraError: OpenVINO or NNCF is not installed.
        InputError: NNCF cannot do what the config asks for, or `skip` fits no layer.
        StageError: the source is quantized already, or nothing became integer.
    """
    require("openvino", "the `quantize` stage of OpenVINO's format")
    check(config)
    graph = ir_file(source)
    if is_quantized(graph):
        raise StageError(f"{source.name} is quantized already; give `from` the fp32 export")
    skip = matching({layer.name: layer.type for layer in read_layers(graph)}, config.skip, _SKIPPABLE)
    transformer = is_transformer(read_config(source))
    quantized = _quantized(config, openvino_core().read_model(graph), batches, skip, transformer)
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("*.xml", "*.bin", MANIFEST), dirs_exist_ok=True)
    count = integer_product_count(save(quantized, out))
    if count == 0:
        raise StageError(f"NNCF made no product of {source.name} integer; INT8 would gain nothing; leave the stage out")
    smooth = {"smooth_alpha": _alpha(config)} if transformer else {}
    return {"target": "openvino", "reason": _REASON, "integer_operators": count, "transformer": transformer, **smooth}


def check(config: QuantizeConfig) -> None:
    """Raise `InputError` where a config asks for what NNCF cannot do; names the first of it."""
    for key, what in misfits(config.model_dump(mode="json")):
        raise InputError(f"quantize{''.join(f'.{part}' for part in key)} {what}")


def is_transformer(config: Mapping[str, Any]) -> bool:
    """Whether a model attends, by its family; of a family that hfcompress does not know, by whether it has heads."""
    family = ARCHITECTURES.get(str(config.get("model_type")))
    if family is not None:
        return family.attends
    return any(key.endswith("heads") for key in config)


def _quantized(config: QuantizeConfig, model: Any, batches: Batches, skip: Sequence[str], transformer: bool) -> Any:
    nncf = import_nncf()
    names = {port.any_name: port.element_type.to_dtype() for port in model.inputs}
    rows = [_typed(row, names) for row in _rows(batches)]
    # Its bars and log lines go to stdout, which is for results.
    with sending_nothing(), keeping_signal_stack(), quiet("nncf"), redirect_stdout(io.StringIO()):
        return nncf.quantize(
            model,
            nncf.Dataset(rows),
            subset_size=len(rows),
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
            ignored_scope=nncf.IgnoredScope(names=list(skip)),
            advanced_parameters=_parameters(nncf, config),
        )


def _typed(row: Mapping[str, np.ndarray], dtypes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    check_inputs(row, dtypes, "NNCF")
    return {name: row[name].astype(dtype) for name, dtype in dtypes.items()}


def _parameters(nncf: Any, config: QuantizeConfig) -> Any:
    from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters, OverflowFix
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    saturates = scheme_for("auto", describe_host().flags).reduce_range
    return nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=_alpha(config)),
        overflow_fix=OverflowFix.ENABLE if saturates else OverflowFix.DISABLE,  # weights of 7 bits, or of 8
    )


def _alpha(config: QuantizeConfig) -> float:
    return _ALPHA if config.smooth is None else float(config.smooth.alpha)


def _rows(batches: Batches) -> Iterator[dict[str, np.ndarray]]:
    """Each row alone, without its padding, on whichever side that is."""
    for batch in batches:
        mask = batch.get(MASK)
        shape = None if mask is None else mask.shape
        for row in range(len(next(iter(batch.values())))):
            text = None if mask is None else np.flatnonzero(mask[row])
            yield {
                name: values[[row]][:, text] if values.shape == shape else values[[row]]
                for name, values in batch.items()
            }
