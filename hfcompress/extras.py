"""Optional packages, and the command that installs the one that is missing."""

from __future__ import annotations

import importlib.util

from hfcompress.errors import ExtraError

#: extra of this package -> the modules that it brings
EXTRAS: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime", "onnx", "optimum.onnxruntime"),
    "openvino": ("openvino", "nncf"),
    "sign": ("model_signing", "OpenSSL"),
}


def is_installed(extra: str) -> bool:
    """Whether every module of `extra` can be found. Finds a parent package by importing it, its modules not."""
    return all(_found(module) for module in EXTRAS[extra])


def require(extra: str, purpose: str) -> None:
    """Raise `ExtraError` with the exact install command unless `extra` is installed.

    Args:
        extra: a key of `EXTRAS`.
        purpose: what needs it, as the start of the sentence: "the `export` stage".
    """
    missing = [module for module in EXTRAS[extra] if not _found(module)]
    if missing:
        raise ExtraError(
            f"{purpose} needs {', '.join(missing)}, which is not installed; run: pip install 'hfcompress[{extra}]'"
        )


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
