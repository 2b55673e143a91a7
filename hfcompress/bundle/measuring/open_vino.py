"""OpenVINO on one of its devices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .batches import Batch, as_asked
from .failures import RefusedError, load_library, refusing
from .host import has_bf16
from .onnx_runtime import CPU

#: What floating point is computed in -> OpenVINO's hint, and what a device has to be able to.
OPENVINO_PRECISIONS = {"fp32": ("f32", "FP32"), "bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16")}


class OpenVino:
    """The model on one device of OpenVINO and in one precision, one stream: a call uses all threads."""

    def __init__(self, folder: Path, bundle: dict[str, Any], threads: int, provider: str) -> None:
        # Its import sends an event to Google Analytics, and does without the package that would.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        runtime = load_library("openvino", "run: pip install openvino")
        device, core = "CPU" if provider == CPU else provider, runtime.Core()
        if device not in core.available_devices:  # nor AUTO and its like, which choose by themselves
            raise RefusedError(f"OpenVINO has no device {device} here; it has {', '.join(core.available_devices)}")
        # By itself it takes bf16 where the CPU has it, and answers a little otherwise.
        precision = bundle["precision"] or "fp32"
        hint, capability = OPENVINO_PRECISIONS[precision]
        able = capability in core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        if not able or (device == "CPU" and precision == "bf16" and not has_bf16()):
            raise RefusedError(
                f"OpenVINO's {device} does not compute in {precision} here; bundle it with another --precision"
            )
        config = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": hint}
        if device == "CPU":
            # Else two processes beside each other would each pin their threads to the first cores.
            config |= {"INFERENCE_NUM_THREADS": str(threads), "ENABLE_CPU_PINNING": "NO"}
        self.failures = (RuntimeError,)  # which all of its own are
        with refusing(f"openvino cannot open {bundle['model']}", self.failures):
            compiled = core.compile_model(str(folder / bundle["model"]), device, config)
        if (used := list(compiled.get_property("EXECUTION_DEVICES"))) not in ([device], [f"{device}.0"]):
            raise RefusedError(f"OpenVINO uses {', '.join(used)} and not {device}")
        if (taken := compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()) != hint:
            raise RefusedError(f"OpenVINO's {device} computes in {taken} and not in {precision} here")
        self._request = compiled.create_infer_request()
        self._dtypes = {port.get_any_name(): port.get_element_type().to_dtype() for port in compiled.inputs}
        self._outputs = bundle["outputs"]
        self.name, self.threads = f"openvino:{device}", threads
        self.versions = {"openvino": runtime.__version__.partition("-")[0]}
        self.gpus: list[str] = []

    def __call__(self, batch: Batch) -> Batch:
        """Inputs to outputs by name."""
        self._request.infer(as_asked(batch, self._dtypes), share_inputs=True)
        return {name: self._request.get_tensor(name).data.copy() for name in self._outputs}
