"""A machine with TensorRT, imitated: what ONNX Runtime's provider does with caches, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.runtimes.tensorrt import Machine, check_profile

MACHINE = Machine("NVIDIA H100 80GB HBM3", "10.9.0", "1.31.1")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Sessions on TensorRT run on the CPU and leave an engine in their cache; `error` is added to what they answer."""
    from hfcompress.runtimes import onnxruntime as runtimes

    said: dict[str, Any] = {"error": 0.0, "writes": True, "opened": []}

    class OnTheCpu(runtimes.OnnxRuntime):
        def __init__(
            self, path: Path, provider: str = runtimes.CPU, threads: int | None = None, **options: Any
        ) -> None:
            self.options: Mapping[str, str] = options.get("provider_options") or {}
            super().__init__(path, threads=1)
            if provider != runtimes.CPU:
                self.name = f"onnxruntime:{provider}"
                said["opened"].append(dict(self.options))
                if said["writes"]:
                    cache = Path(self.options["trt_engine_cache_path"])
                    for suffix in ("engine", "profile"):
                        (cache / f"TRTKernel_0_0_fp16_sm90.{suffix}").write_bytes(b"built")

        def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            check_profile(self.options, self.inputs_of(batch))
            answers = super().predict(batch)
            return {name: value + said["error"] * bool(self.options) for name, value in answers.items()}

    monkeypatch.setattr("hfcompress.engine.stage.OnnxRuntime", OnTheCpu)
    monkeypatch.setattr("hfcompress.engine.stage.this_machine", lambda: MACHINE)
    return said
