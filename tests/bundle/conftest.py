"""A machine that has numpy and one runtime, and bundles for it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfcompress.bundle.config import BundleConfig
from hfcompress.export.api import export_onnx
from hfcompress.pipeline.bundle import Measured, write_bundle
from hfcompress.recipe.data import BenchmarkConfig, DataConfig, StreamConfig

#: Few calls: what is measured is whether it measures.
BENCHMARK = BenchmarkConfig(
    batch=(1, 4), sequence=(8, 24), repeats=6, warmup=1, stream=StreamConfig(batch=32, rows=16, passes=3)
)
#: What onnxruntime and openvino bring along and do not import.
_RUNTIMES = {
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino", "openvino_telemetry"),
    "tensorrt": ("onnxruntime",),
}

Device = Callable[..., "subprocess.CompletedProcess[str]"]


def measured(reviews: Path) -> Measured:
    """The validation rows of `reviews`."""
    return Measured(DataConfig(path=str(reviews), max_length=32), "validation", BENCHMARK)


@pytest.fixture(scope="session")
def exported(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny classifier in ONNX."""
    out = tmp_path_factory.mktemp("exported") / "onnx"
    export_onnx(classifier, out)
    return out


@pytest.fixture
def bundled(exported: Path, reviews: Path, tmp_path: Path) -> Callable[..., Path]:
    """A bundle of the tiny classifier."""

    def make(target: Any, **changes: Any) -> Path:
        out = tmp_path / "device" / target
        write_bundle(exported, out, BundleConfig(target, **changes), measured(reviews))
        return out

    return make


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    """Runs a script in a virtual environment that holds numpy and one runtime, and nothing else."""
    root = tmp_path_factory.mktemp("venvs")

    def run(script: Path, *arguments: str, runtime: str = "onnxruntime", path: Path | None = None) -> Any:
        python = _environment(root / runtime, runtime)
        environment = {"PATH": "/usr/bin:/bin", **({"PYTHONPATH": str(path)} if path else {})}
        command = [str(python), str(script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", check=False)

    return run


def _environment(folder: Path, runtime: str) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=False, symlinks=True)
        (site,) = folder.glob("lib/python*/site-packages")
        for package in ("numpy", *_RUNTIMES[runtime]):
            spec = importlib.util.find_spec(package)
            if spec is None or spec.origin is None:
                continue
            home = Path(spec.origin).parent
            for part in (home, home.with_name(f"{package}.libs")):
                if part.is_dir():
                    (site / part.name).symlink_to(part)
    return python


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
