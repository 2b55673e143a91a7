"""Which runtimes this machine has for a format."""

from __future__ import annotations

import importlib.util

#: format -> the runtimes that take it, as `Settings.runtime`, the format's own first, and the module that each needs.
RUNTIMES: dict[str, dict[str, str]] = {
    "torch": {"torch": "torch"},
    "onnx": {"onnxruntime:CPUExecutionProvider": "onnxruntime", "openvino:CPU": "openvino"},
    "openvino": {"openvino:CPU": "openvino"},
}


def runtimes_here(format: str, made_for: str | None = None) -> tuple[str, ...]:
    """The runtimes that take a format and are installed, its own first; none of a format that none takes.

    Args:
        format: of the artifact.
        made_for: the runtime that the artifact itself names, which then is its own.
    """
    found = [name for name, module in RUNTIMES.get(format, {}).items() if importlib.util.find_spec(module) is not None]
    return tuple(dict.fromkeys(found if made_for is None else [made_for, *found]))
