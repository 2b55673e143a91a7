"""ONNX Runtime on one execution provider."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from .batches import Batch, as_asked
from .failures import RefusedError, load_library, refusing

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
#: Element types as ONNX Runtime and TensorRT name them -> numpy's.
ONNX_TYPES: dict[str, Any] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
}


class OnnxRuntime:
    """The graph on one execution provider: the one asked for, and never another in its place."""

    def __init__(self, folder: Path, bundle: dict[str, Any], threads: int, provider: str) -> None:
        runtime = load_library("onnxruntime", "run: pip install onnxruntime")
        available = runtime.get_available_providers()
        if provider not in available:
            raise RefusedError(f"this ONNX Runtime has no {provider}; it has {', '.join(available)}")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.force_spinning_stop", "1")
        tells = hasattr(runtime.InferenceSession, "get_provider_graph_assignment_info")
        if provider != CPU:  # what it cannot do would go to the CPU without a word
            known = "record_ep_graph_assignment_info" if tells else "disable_cpu_ep_fallback"
            options.add_session_config_entry(f"session.{known}", "1")
        self.failures = failures_of(runtime)
        with refusing(f"onnxruntime cannot open {bundle['model']} with {provider}", (ValueError, *self.failures)):
            self._session = runtime.InferenceSession(
                str(folder / bundle["model"]),
                sess_options=options,
                providers=[provider],
                disabled_optimizers=bundle["disabled_optimizers"] if provider == CPU else None,
                enable_fallback=False,  # to the CPU, with a printed block only
            )
        self._session.disable_fallback()
        if (used := self._session.get_providers()[0]) != provider:
            raise RefusedError(f"ONNX Runtime uses {used} and not {provider}: its libraries could not be loaded")
        if provider != CPU and tells:
            parts = self._session.get_provider_graph_assignment_info()
            check_placement(parts, provider, bundle["size_operators"])
        self._dtypes = {node.name: ONNX_TYPES.get(node.type) for node in self._session.get_inputs()}
        self._outputs = bundle["outputs"]
        self.name, self.threads = f"onnxruntime:{provider}", threads
        self.versions = {"onnxruntime": runtime.__version__}
        self.gpus: list[str] = []

    def __call__(self, batch: Batch) -> Batch:
        """Inputs to outputs by name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, as_asked(batch, self._dtypes)), strict=True))


def failures_of(runtime: Any) -> tuple[type[Exception], ...]:
    """The exceptions of ONNX Runtime: of its own, which have no class in common, and of some of its providers."""
    said = vars(runtime.capi.onnxruntime_pybind11_state).values()
    own = [each for each in said if isinstance(each, type) and issubclass(each, Exception)]
    return (RuntimeError, *own)


def check_placement(parts: Any, provider: str, size_operators: Collection[str]) -> None:
    """Refuse a graph of which another provider computes more than sizes, which are the CPU's beside CUDA."""
    nodes = [(part.ep_name, node) for part in parts if part.ep_name != provider for node in part.get_nodes()]
    if left := [(name, node) for name, node in nodes if provider != CUDA or node.op_type not in size_operators]:
        named = ", ".join(f"{node.name or '(unnamed)'} ({node.op_type})" for _, node in left[:3])
        raise RefusedError(
            f"{provider} leaves {len(left)} operators to {', '.join(sorted({name for name, _ in left}))}, as {named}; "
            f"measure with --provider {CPU}, or change the model"
        )
