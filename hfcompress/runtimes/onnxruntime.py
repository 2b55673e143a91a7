"""ONNX Runtime. CPU, CUDA and TensorRT are its execution providers; the one asked for is the one in use."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hfcompress.errors import ModelError, ProviderError
from hfcompress.extras import require
from hfcompress.onnx_graph.file import model_file
from hfcompress.runtimes.base import check_inputs
from hfcompress.runtimes.providers import CPU as CPU
from hfcompress.runtimes.providers import (
    CUDA,
    RECORD,
    TENSORRT,
    captured_log,
    check_provider,
    not_loaded,
    reasons,
    tells_placement,
)
from hfcompress.runtimes.sessions import Sessions

if TYPE_CHECKING:
    from hfcompress.runtimes.binding import BoundCalls

#: The graph that a profiled session runs.
OPTIMIZED = "optimized.onnx"
#: Fusions into operators whose CPU kernel is slower than what they replace. SkipLayerNormalization took 1.0 ms where
#: Add and LayerNormalization take 0.2 (512 x 384 float32, one thread, ONNX Runtime 1.32).
SLOW_FUSIONS = ["SkipLayerNormFusion"]
#: Providers whose calls go through IO binding.
_BOUND = (CUDA, TENSORRT)
#: What ONNX Runtime says where a provider's libraries cannot be loaded.
_NOT_LOADED = "Please install TensorRT libraries"
#: ONNX Runtime's name of an input's element type -> numpy's.
_DTYPES = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}


class OnnxRuntime:
    """One ONNX graph on one execution provider. Needs ONNX Runtime and numpy only.

    Calls may come from several threads: see `Sessions`.

    Args:
        path: a folder with exactly one .onnx file, or the file.
        provider: an execution provider of ONNX Runtime.
        threads: cores of one call; default: all that this process may use.
        provider_options: passed to the provider as they are (device id, caches, memory limits); default: for TensorRT
            those of the artifact, with the engines that it brings for this machine.
        profile: a folder; ONNX Runtime records the time of each operator for it (`profiled`), and writes the graph that
            it runs after its optimizations to `optimized.onnx` in it, weights beside it.
        streams: calls that will run side by side, each on `threads` cores; further ones wait.

    Raises:
        ExtraError: ONNX Runtime is not installed.
        ModelError: no graph, several, or one that ONNX Runtime refuses.
        ProviderError: the provider is not there, or is not the one in use.
    """

    def __init__(
        self,
        path: Path,
        provider: str = CPU,
        threads: int | None = None,
        provider_options: Mapping[str, str] | None = None,
        profile: Path | None = None,
        streams: int = 1,
    ) -> None:
        # A machine that only serves has ONNX Runtime without Optimum, and that is enough here.
        if importlib.util.find_spec("onnxruntime") is None:
            require("onnxruntime", "running an ONNX artifact")
        self.threads = threads or _all_cores()
        self.name = f"onnxruntime:{provider}"
        if provider_options is None and provider == TENSORRT:
            provider_options = _options_of(path)
        self._provider_options = dict(provider_options or {})
        options = session_options(provider, self.threads, profile)
        graph = model_file(path)
        copies = 1 if provider in _BOUND else streams  # calls through IO binding share a session
        self._sessions = Sessions(
            lambda: _open_session(graph, provider, options, self._provider_options), copies, self.threads
        )
        self._session = self._sessions.first
        self._dtypes = {node.name: _DTYPES.get(node.type) for node in self._session.get_inputs()}
        self._outputs = [node.name for node in self._session.get_outputs()]
        self._bound = _bound_calls(self._session, self._outputs, provider, self._provider_options)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs of the graph; it needs all of them."""
        return tuple(self._dtypes)

    def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph; inputs are cast to the graph's types. See `Runtime.predict`."""
        check_inputs(batch, self._dtypes, self.name)
        inputs = self.inputs_of(batch)
        if self._bound is None:
            return dict(zip(self._outputs, self._sessions.run(self._outputs, inputs), strict=True))
        return dict(zip(self._outputs, self._bound(inputs), strict=True))

    def inputs_of(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the graph takes of a batch, in the graph's types."""
        return {name: np.asarray(batch[name], dtype=dtype) for name, dtype in self._dtypes.items()}

    def profiled(self) -> Path:
        """End the profile that was asked for, and give its file: JSON events in the order in which they ended."""
        return Path(self._session.end_profiling())


def _options_of(path: Path) -> dict[str, str]:
    """The options that an artifact has for TensorRT; none for another graph, whose engines are built for each size."""
    from hfcompress.runtimes.tensorrt import provider_options, stored_options

    return {} if stored_options(path) is None else provider_options(path)


def _bound_calls(session: Any, outputs: list[str], provider: str, options: Mapping[str, str]) -> BoundCalls | None:
    """Calls through IO binding where the provider computes on a GPU; of an engine, within the sizes it is built for."""
    if provider not in _BOUND:
        return None
    from hfcompress.runtimes.binding import BoundCalls
    from hfcompress.runtimes.tensorrt import check_profile

    def check(inputs: Mapping[str, np.ndarray]) -> None:
        check_profile(options, inputs)

    return BoundCalls(session, outputs, "cuda", int(options.get("device_id", "0")), check)


def _all_cores() -> int:
    # Imported late: it brings pydantic, which the peak memory of a worker that is told its threads should not hold.
    from hfcompress.host import default_threads

    return default_threads()


def _open_session(graph: Path, provider: str, options: Any, provider_options: Mapping[str, str]) -> Any:
    import onnxruntime

    _check_available(provider, onnxruntime.get_available_providers())
    quiet = nullcontext(str) if provider == CPU else captured_log()
    with quiet as log:
        try:
            session = onnxruntime.InferenceSession(
                str(graph),
                sess_options=options,
                providers=[(provider, dict(provider_options))],
                disabled_optimizers=SLOW_FUSIONS if provider == CPU else None,
                enable_fallback=False,  # to the CPU, with a printed line only
            )
        except _refusals() as error:
            raise _refused(error, graph, provider, log()) from error
    session.disable_fallback()  # the same, for a provider that fails in the middle of a call
    check_provider(session, provider, graph.name, log())
    return session


def session_options(provider: str, threads: int, profile: Path | None = None) -> Any:
    """The options of every session: all optimizations, one operator after another, so many cores.

    Args:
        provider: what runs the graph.
        threads: cores of one call.
        profile: an empty folder for the profile and the optimized graph; None: neither is written.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; warnings about node placement go to stderr otherwise
    # Threads spin while a call runs, as they do by default and so where the model will serve. They stop when it
    # returns: left alone they burn both cores for another 25 ms, and slow down whoever computes next (measured).
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if provider in (CUDA, TENSORRT) or provider.startswith("NvTensorRT"):
        # They leave what they cannot do to the CPU without a word: see `check_provider`. Older builds cannot tell which
        # nodes these are, and refuse the graph as a whole.
        entry = RECORD if tells_placement() else "session.disable_cpu_ep_fallback"
        options.add_session_config_entry(entry, "1")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile / "profile")
        options.optimized_model_filepath = str(profile / OPTIMIZED)
        # One file may not exceed 2 GB, and who reads the graph wants no weights.
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights.bin")
    return options


def _check_available(provider: str, available: list[str]) -> None:
    if provider not in available:
        raise ProviderError(
            f"this ONNX Runtime has no {provider}; it has {', '.join(available)}; ask for one of these, or install a "
            "build that brings it (CUDA and TensorRT: pip install 'hfcompress[onnxruntime-gpu]')"
        )


def _refusals() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    named = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
    # Providers report theirs as EPFail or as a plain RuntimeError.
    return (*(getattr(state, name) for name in named), state.EPFail, state.RuntimeException, RuntimeError)


def _refused(error: Exception, graph: Path, provider: str, log: str) -> ModelError | ProviderError:
    if provider == CPU:
        return ModelError(f"ONNX Runtime cannot load {graph}: {error}")
    said = " ".join(str(error).split())
    if _NOT_LOADED in said:
        return not_loaded(provider, "ONNX Runtime refuses to go on", log)
    because = "; ".join(text for text in reasons(log)[:3] if text not in said)
    return ProviderError(
        f"{provider} cannot run the whole of {graph}: {said}{f' ({because})' if because else ''}; ask for {CPU}, or "
        "export for it"
    )
