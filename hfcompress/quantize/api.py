"""`quantize_onnx`: the quantize stage without a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hfcompress.artifact import check_replaceable, writing
from hfcompress.errors import InputError, ModelError
from hfcompress.host import describe_host
from hfcompress.models.folder import read_config, task_of
from hfcompress.quantize.nncf import check, write_int8
from hfcompress.quantize.quantizer import quantizer_for
from hfcompress.quantize.rows import unlabelled_batches
from hfcompress.quantize.stage import counted
from hfcompress.quantize.targets import scheme_for
from hfcompress.recipe.data import DataConfig
from hfcompress.recipe.quantization import Calibration, Target
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.runtimes.load import format_of
from hfcompress.tasks import get_task


def quantize_onnx(
    source: Path | str,
    out: Path | str,
    *,
    target: Target = "auto",
    per_channel: bool = True,
    calibration: Calibration | None = None,
    data: DataConfig | None = None,
) -> int:
    """INT8 of an exported folder, without a recipe: static when there is data, dynamic otherwise.

    Args:
        source: a folder with one fp32 `.onnx` file.
        out: the folder to write; replaced as a whole.
        target: what will serve; `auto` asks this host.
        per_channel: one scale for each output channel of a weight.
        calibration: how ranges of activations are found; default, where there is data: minmax of 256 rows.
        data: rows to calibrate on, its `train` split; labels are not read.

    Returns:
        How many operators multiply integers.

    Raises:
        InputError: no graph, an extra is missing, the data or the target does not fit, or `out` holds what is no model.
        StageError: nothing became integer, or the source is quantized already; nothing is written.
    """
    if calibration is not None and data is None:
        raise InputError("a calibration needs rows, and no data is given; give `data`, or leave `calibration` out")
    if data is not None and calibration is None:
        calibration = Calibration()
    return quantize_folder(
        Path(source), Path(out), QuantizeConfig(target=target, per_channel=per_channel, calibration=calibration), data
    )


def quantize_folder(source: Path, out: Path, config: QuantizeConfig, data: DataConfig | None) -> int:
    """See `quantize_onnx`; `config` may have `skip` too, and the source be in OpenVINO's format."""
    check_replaceable(out, source)
    if format_of(source) == "openvino":
        check(config)
        with writing(out) as temporary:
            made = write_int8(config, source, temporary, _rows(source, config, data))
            return int(made["integer_operators"])
    scheme = scheme_for(config.target, describe_host().flags)
    with writing(out) as temporary:
        write = quantizer_for(config, source, scheme, lambda: _rows(source, config, data))
        return counted(write(temporary, ()), source, scheme)


def _rows(source: Path, config: QuantizeConfig, data: DataConfig | None) -> Iterator[dict[str, np.ndarray]]:
    if data is None or config.calibration is None or "train" not in data.splits:
        raise InputError("static INT8 is calibrated on the `train` split of `data`, and there is none; name it")
    task = task_of(read_config(source))
    if task is None:
        raise ModelError(f"{source} has no head for a task that hfcompress knows")
    limited = data.model_copy(update={"limit": {"train": config.calibration.samples}})
    return unlabelled_batches(limited, "train", get_task(task), source)
