"""What NNCF's post-training quantization cannot do of the language of `quantize`, with the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: The targets that are the same as none: what NNCF writes is for OpenVINO.
_TARGETS = ("auto", "openvino")
_ONNX = "quantize an `onnx` export with `target: openvino`"


def misfits(said: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where a `quantize` config, as it is written, asks for more than NNCF has, and what to do.

    A value of the wrong kind is somebody else's to name.
    """
    target, calibration = said.get("target", "auto"), said.get("calibration")
    if isinstance(target, str) and target not in _TARGETS:
        yield ("target",), f"is {target}, but what is quantized is in OpenVINO's format; leave `target` out"
    if calibration is None:
        yield (), "has no calibration, but INT8 of OpenVINO's format is static; add `calibration: {}`"
    method = calibration.get("method", "minmax") if isinstance(calibration, Mapping) else "minmax"
    if isinstance(method, str) and method != "minmax":
        yield ("calibration", "method"), f"is {method}, but NNCF has minmax alone; leave it out, or {_ONNX}"
    if said.get("per_channel") is False:
        yield ("per_channel",), f"is false, but NNCF gives each channel its scale; leave it out, or {_ONNX}"
    if said.get("fallback") is not None:
        yield ("fallback",), f"is not searched for in OpenVINO's format; name layers in `skip`, or {_ONNX}"
    yield from _smooth(said.get("smooth"))


def _smooth(smooth: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    alpha = smooth.get("alpha", "auto") if isinstance(smooth, Mapping) else smooth
    if alpha == "auto":
        what = "is auto, but NNCF does not search; leave it out (NNCF smooths transformers by itself, alpha 0.95), or "
        yield ("smooth",), what + "give a number"
