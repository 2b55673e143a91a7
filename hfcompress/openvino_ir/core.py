"""OpenVINO's `Core`, without what loading its CPU plugin leaves on a thread.

The CPU plugin gives the thread that loads it another stack for signals (`sigaltstack`), and unmaps that stack when its
`Core` goes. It puts back the stack from before only on that same thread, and only if nothing else was set since. So
cores that go on another thread, or in another order than they came, leave a thread whose stack for signals is gone.
Python's handlers run on that stack: the next SIGINT or SIGTERM ends the process as a segmentation fault that nothing
reports. NNCF makes cores of its own.

Seen in openvino 2026.4; its source is `src/plugins/intel_cpu/src/plugin.cpp`, `SigAltStackSetup`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from hfcompress.openvino_ir.library import import_openvino

_making = Lock()


class _Stack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = (("ss_sp", ctypes.c_void_p), ("ss_flags", ctypes.c_int), ("ss_size", ctypes.c_size_t))


def openvino_core() -> Any:
    """The one `openvino.Core` of this process, its plugins loaded; it may be used from several threads.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    with _making:  # `cache` alone would let two threads make one each
        return _core()


@contextmanager
def keeping_signal_stack() -> Iterator[None]:
    """The thread's stack for signals is the same after the block as before it."""
    if sys.platform != "linux":  # the plugin does it on Linux alone
        yield
        return
    before = _swap(None)
    try:
        yield
    finally:
        _swap(before)


@cache
def _core() -> Any:
    core = import_openvino().Core()
    with keeping_signal_stack():
        core.available_devices  # noqa: B018  # asks every plugin, which loads it
    return core


def _swap(new: _Stack | None) -> _Stack:
    """Set the thread's stack for signals, unless it is None; gives the one until now."""
    old = _Stack()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sigaltstack(None if new is None else ctypes.byref(new), ctypes.byref(old)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return old
