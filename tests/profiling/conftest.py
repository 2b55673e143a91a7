"""Crafted graphs that ran once, and a tiny exported model beside its INT8 one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hfcompress.profiling.session import profiled
from hfcompress.profiling.times import Profiled
from tests import tiny
from tests.profiling import crafted


class Pair(NamedTuple):
    """Folders of one model."""

    int8: Path
    fp32: Path


class Ran(NamedTuple):
    """Both sides of a profiled pair, and its folders."""

    int8: Profiled
    fp32: Profiled
    folders: Pair


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The crafted pair, profiled for ten passes over two batches."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("crafted")
    int8 = crafted.save(folder / "int8", *crafted.int8_parts())
    fp32 = crafted.save(folder / "fp32", *crafted.fp32_parts())
    crafted.save_asked(int8, ["MatMul"], [crafted.EXCLUDED])
    rng = np.random.default_rng(0)
    batches = [{"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(2)]
    from hfcompress.progress import SILENT

    with SILENT.bar("profiling", 0) as bar:
        return Ran(*profiled((int8, fp32), batches, 10, 1, bar), Pair(int8, fp32))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A tiny BERT, exported and dynamically quantized."""
    from hfcompress.export.optimum import export_with_optimum
    from hfcompress.quantize.api import quantize_onnx

    folder = tmp_path_factory.mktemp("bert")
    source = tiny.save_bert(folder / "torch", layers=2, head=True, hidden_size=64, intermediate_size=256)
    export_with_optimum(source, folder / "fp32", "text-classification", None)
    quantize_onnx(folder / "fp32", folder / "int8")
    return Pair(folder / "int8", folder / "fp32")
