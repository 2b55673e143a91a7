"""OpenVINO and NNCF as modules that send nothing.

`import openvino` sends an event to Google Analytics, `convert_model` and `nncf.quantize` send more, and a file with an
identity is made in the user's home: all through the package `openvino_telemetry`, unless the user has opted out of it
(`opt_in_out --opt_out`, which itself sends one last event), or `CI` is `true` (seen in openvino 2026.4, nncf 3.4 and
openvino-telemetry 2025.2). Both packages work without `openvino_telemetry`, with an empty stand-in. So it cannot be
found while they are imported here. `convert_model` is not called: `Core.read_model` reads ONNX and sends nothing.

A process that has imported them by itself has sent its event by itself. `sending_nothing` keeps silent what NNCF would
then send for a call of ours.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

_TELEMETRY = "openvino_telemetry"
_ABSENT = object()
_importing = RLock()


def import_openvino() -> Any:
    """The module `openvino`.

    Raises:
        ImportError: it is not installed.
    """
    return _import("openvino")


def import_nncf() -> Any:
    """The module `nncf`.

    Raises:
        ImportError: it is not installed.
    """
    _import("openvino")  # which it imports where there is one
    return _import("nncf")


@contextmanager
def sending_nothing() -> Iterator[None]:
    """No consent to telemetry within the block, where somebody else's import has brought it."""
    sender = _sender()
    if sender is None:
        yield
        return
    before, sender.consent = sender.consent, False
    try:
        yield
    finally:
        sender.consent = before


def reason(error: RuntimeError) -> str:
    """What OpenVINO says in an error, without the places in its own source."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [
        line for line in lines if line and not line.startswith(("Exception from", "Check '", "FrontEnd API failed"))
    ]
    return " ".join(said or lines)[:500]


def _import(name: str) -> Any:
    with _importing:  # a module is in `sys.modules` before its import has ended
        if name in sys.modules:
            return importlib.import_module(name)  # which waits for a thread of somebody else's
        before = sys.modules.get(_TELEMETRY, _ABSENT)
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # the import system's word for: not to be found
        try:
            return importlib.import_module(name)
        finally:
            if before is _ABSENT:
                del sys.modules[_TELEMETRY]
            else:
                sys.modules[_TELEMETRY] = before  # type: ignore[assignment]


def _sender() -> Any:
    """The one object of `openvino_telemetry` that sends; None where nobody has made it."""
    kind = getattr(sys.modules.get(_TELEMETRY), "Telemetry", None)
    try:
        return None if kind is None else kind()
    except RuntimeError:  # nobody has told it for which application it is
        return None
