"""Importing OpenVINO from several threads, with a stand-in whose import takes its time."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hfcompress.openvino_ir import library

SLOW = """
import sys, time
assert sys.modules["openvino_telemetry"] is None
time.sleep(0.3)
ready = True
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that is in `sys.modules` long before it is ready."""
    (tmp_path / "slow_openvino.py").write_text(SLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "slow_openvino", raising=False)
    return "slow_openvino"


def test_every_thread_gets_the_whole_module(slow: str) -> None:
    before = sys.modules.get("openvino_telemetry", "absent")

    def ready(_: int) -> bool:
        return hasattr(library._import(slow), "ready")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(ready, 0)
        while slow not in sys.modules:
            assert not first.done()
        assert threads.submit(ready, 1).result()
        assert first.result()
    assert sys.modules.get("openvino_telemetry", "absent") is before
    del sys.modules[slow]
