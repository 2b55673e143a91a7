"""A process that used OpenVINO still takes signals, whatever came and went in which order and on which thread.

Each program is a process of its own, since what it looks for is the end of the process.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.export, pytest.mark.openvino]

START = """
import faulthandler, os, signal, threading
import numpy as np
from hfcompress.openvino_ir.core import keeping_signal_stack, openvino_core
from hfcompress.openvino_ir.library import import_nncf, import_openvino

faulthandler.enable()  # has a stack for signals, as every process under pytest has
taken = []
signal.signal(signal.SIGTERM, lambda *_: taken.append("SIGTERM"))
openvino = import_openvino()
x = openvino.opset13.parameter([-1, 8], np.float32, name="x")
weight = openvino.opset13.constant(np.eye(8, dtype=np.float32))
model = openvino.Model([openvino.opset13.matmul(x, weight, False, True)], [x], "made")
"""
END = """
os.kill(os.getpid(), signal.SIGTERM)
assert taken == ["SIGTERM"], taken
"""
#: The second goes after the first, and puts back the first's stack, which is gone.
IN_THE_ORDER_THEY_CAME = """
first = openvino.Core(); loaded = first.compile_model(model, "CPU")
second = openvino.Core(); loaded_too = second.compile_model(model, "CPU")
del loaded, first
del loaded_too, second
"""
ON_ANOTHER_THREAD = """
kept = [openvino.Core()]; kept.append(kept[0].compile_model(model, "CPU"))
goes = threading.Thread(target=kept.clear); goes.start(); goes.join()
"""


def indented(program: str) -> str:
    return "".join(f"    {line}\n" for line in program.strip().splitlines())


def exit_code(program: str) -> int:
    done = subprocess.run([sys.executable, "-c", START + program + END], capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGSEGV), done.stderr[-2000:]
    return done.returncode


def test_the_one_core_leaves_the_stack_for_signals_alone() -> None:
    assert exit_code("""
import gc
from hfcompress.openvino_ir import core
assert openvino_core() is openvino_core()
loaded = openvino_core().compile_model(model, "CPU")
goes = threading.Thread(target=lambda: (core._core.cache_clear(), globals().pop("loaded"), gc.collect()))
goes.start(); goes.join()
""") == 0  # fmt: skip


def test_threads_that_ask_at_once_get_the_same_core() -> None:
    assert exit_code("""
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    assert len({id(core) for core in pool.map(lambda _: openvino_core(), range(8))}) == 1
""") == 0  # fmt: skip


@pytest.mark.parametrize("program", [IN_THE_ORDER_THEY_CAME, ON_ANOTHER_THREAD])
def test_cores_of_others_within_the_block_do_no_harm(program: str) -> None:
    assert exit_code(f"with keeping_signal_stack():\n{indented(program)}") == 0


@pytest.mark.slow
@pytest.mark.parametrize("program", [IN_THE_ORDER_THEY_CAME, ON_ANOTHER_THREAD])
def test_openvino_still_does_the_harm_that_is_kept_off(program: str) -> None:
    """When this fails, `openvino_ir/core.py` has had its day."""
    assert exit_code(program) == -signal.SIGSEGV
