"""OpenVINO and NNCF send nothing and leave no identity behind: watched in a process of its own, with an empty home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.export, pytest.mark.openvino]

#: Notes every request that a process would send, in place of sending it.
WATCH = """
import multiprocessing, socket
sent = []
multiprocessing.Process.start = lambda self: sent.append(self)
multiprocessing.Process.join = lambda self, timeout=None: None
multiprocessing.Process.is_alive = lambda self: False
socket.socket.connect = lambda self, address: sent.append(address)
"""
#: Compiles, saves and quantizes a product.
USE = """
import sys
import numpy as np
def use(openvino, nncf, quantize):
    ops = openvino.opset13
    x = ops.parameter([-1, 8], np.float32, name="x")
    weight = ops.constant(np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32))
    model = openvino.Model([ops.matmul(x, weight, False, True)], [x], "made")
    rows = [{"x": np.ones((1, 8), dtype=np.float32)}]
    made = quantize(model, nncf.Dataset(rows, lambda row: {0: row["x"]}))
    openvino.Core().compile_model(made, "CPU")
"""
OURS = (
    WATCH
    + USE
    + """
from hfcompress.openvino_ir.library import import_nncf, import_openvino, sending_nothing
openvino, nncf = import_openvino(), import_nncf()
assert "openvino_telemetry" not in sys.modules
use(openvino, nncf, nncf.quantize)
assert not sent, sent
"""
)
THEIRS = (
    WATCH
    + USE
    + """
import time
import openvino, nncf  # as somebody else's program has done before
time.sleep(0.5)
assert sent, "an import sends an event"
sent.clear()
from hfcompress.openvino_ir.library import import_nncf, import_openvino, sending_nothing
with sending_nothing():
    use(import_openvino(), import_nncf(), nncf.quantize)
    time.sleep(0.5)
assert not sent, sent
use(openvino, nncf, nncf.quantize)
time.sleep(0.5)
assert sent, "their own call sends as it did before"
"""
)


def run(program: str, home: Path) -> None:
    """Run a program whose user has neither agreed nor refused."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**environment, "HOME": str(home)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_nothing_is_sent_and_nothing_left(tmp_path: Path) -> None:
    run(OURS, tmp_path)
    assert not (tmp_path / "intel").exists()


@pytest.mark.slow
def test_a_process_that_sends_by_itself_sends_nothing_for_a_call_of_ours(tmp_path: Path) -> None:
    run(THEIRS, tmp_path)
