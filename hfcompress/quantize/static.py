"""Static INT8 through Optimum, as Q/DQ: weights and the ranges of activations are constants of the graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hfcompress.calibration.smoothquant import SmoothReport
from hfcompress.errors import InputError
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.lint import TARGETS as LINTED
from hfcompress.onnx_graph.lint import check_readable
from hfcompress.quantize.constants import name_nodes_, separate_biases_, store_constants_
from hfcompress.quantize.float_outputs import return_to_float_
from hfcompress.quantize.layers import Layers, check_products, layers_of
from hfcompress.quantize.ranges import Ranges, activations_of, find_ranges
from hfcompress.quantize.residuals import quantize_residuals_
from hfcompress.quantize.targets import Scheme
from hfcompress.recipe.quantization import Calibration

#: The first operator set whose QuantizeLinear and DequantizeLinear have an axis.
_PER_CHANNEL_OPSET = 13


@dataclass(frozen=True)
class Calibrated:
    """An fp32 model whose activations were seen.

    Attributes:
        folder: with its config and processor.
        model: its `onnx.ModelProto`, with stored constants and named nodes.
        ranges: of every activation that its scheme may quantize.
        smoothed: what was moved into weights before, if anything.
    """

    folder: Path
    model: Any
    ranges: Ranges
    smoothed: SmoothReport | None = None


def calibrate(
    source: Path,
    scheme: Scheme,
    calibration: Calibration,
    batches: Iterable[Mapping[str, np.ndarray]],
    excluded: Collection[str] = (),
    smooth_: Callable[[Any], SmoothReport] | None = None,
) -> Calibrated:
    """Find the ranges of an exported folder's activations.

    Args:
        source: a folder with one fp32 graph.
        scheme: the target's.
        calibration: how ranges are found.
        batches: inputs by name; one is in memory at a time.
        excluded: names of nodes that stay in floating point.
        smooth_: smooths the `onnx.ModelProto` before, in place: see `quantize.smooth`.

    Raises:
        InputError: see `find_ranges`.
        StageError: nothing to quantize.
    """
    import onnx

    model = onnx.load(model_file(source))
    store_constants_(model)
    separate_biases_(model)
    name_nodes_(model)
    smoothed = None if smooth_ is None else smooth_(model)
    layers = layers_of(model.graph, scheme, excluded)
    check_products(layers, scheme, excluded)
    tensors = activations_of(layers, model.graph)
    return Calibrated(source, model, find_ranges(model, tensors, batches, calibration), smoothed)


def quantize_static(
    calibrated: Calibrated, out: Path, scheme: Scheme, *, per_channel: bool, excluded: Collection[str] = ()
) -> Path:
    """Write `model_quantized.onnx`, `ort_config.json`, the config and the processor into `out`; gives the graph's path.

    Args:
        calibrated: for this scheme.
        out: a folder.
        scheme: the target's.
        per_channel: one scale for each output channel of a weight.
        excluded: names of nodes that stay in floating point, those that were excluded from calibration among them.

    Raises:
        InputError: the graph's operator set is too low.
        StageError: nothing to quantize, or the target would not read what was written.
    """
    import onnx
    from optimum.onnxruntime import ORTQuantizer
    from optimum.utils.save_utils import maybe_save_preprocessors
    from transformers import AutoConfig

    _check_opset(calibrated, per_channel)
    layers = layers_of(calibrated.model.graph, scheme, excluded)
    if not layers.tables:
        check_products(layers, scheme, excluded)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(calibrated.model, path)
        quantizer = ORTQuantizer(path, config=AutoConfig.from_pretrained(calibrated.folder))
        quantizer.quantize(
            _configuration(scheme, per_channel, layers),
            save_dir=out,
            file_suffix="quantized",
            calibration_tensors_range=_tensors_data(calibrated.ranges, layers),
        )
    maybe_save_preprocessors(calibrated.folder, out)
    written = model_file(out)
    model = onnx.load(written)
    return_to_float_(model, calibrated.model, layers, scheme)
    quantize_residuals_(model, layers.residuals, calibrated.ranges)
    onnx.checker.check_model(model)
    onnx.save(model, written)
    if scheme.target in LINTED:
        check_readable(written, scheme.target)
    return written


def _check_opset(calibrated: Calibrated, per_channel: bool) -> None:
    opset = next(each.version for each in calibrated.model.opset_import if each.domain in ("", "ai.onnx"))
    if per_channel and opset < _PER_CHANNEL_OPSET:
        raise InputError(
            f"{calibrated.folder.name} has operator set {opset}, and Q/DQ with a scale for each channel needs "
            f"{_PER_CHANNEL_OPSET}; export it again with a higher `opset`, or set `per_channel: false`"
        )


def _tensors_data(ranges: Ranges, layers: Layers) -> Any:
    """The ranges as ONNX Runtime's quantizer takes them.

    It also asks for those of the outputs of all products. Where these are not observed, they are not quantized in the
    end (see `return_to_float_`), and any range will do.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    known = {node.output[0]: (0.0, 1.0) for node in layers.products} | ranges
    pairs = {name: (np.float32(low), np.float32(high)) for name, (low, high) in known.items()}
    return TensorsData(CalibrationMethod.MinMax, pairs)


def _configuration(scheme: Scheme, per_channel: bool, layers: Layers) -> Any:
    from onnxruntime.quantization import QuantFormat, QuantizationMode, QuantType
    from optimum.onnxruntime.configuration import QuantizationConfig

    return QuantizationConfig(
        is_static=True,
        format=QuantFormat.QDQ,
        mode=QuantizationMode.QLinearOps,
        activations_dtype=QuantType.QInt8 if scheme.signed_activations else QuantType.QUInt8,
        activations_symmetric=scheme.symmetric_activations,
        weights_dtype=QuantType.QInt8 if scheme.signed_weights else QuantType.QUInt8,
        weights_symmetric=True,
        per_channel=per_channel,
        reduce_range=scheme.reduce_range,
        operators_to_quantize=list(layers.operators),
        nodes_to_quantize=list(layers.names),
        qdq_add_pair_to_weight=scheme.whole_pairs,
        qdq_dedicated_pair=scheme.whole_pairs,
    )
