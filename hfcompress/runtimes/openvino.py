"""OpenVINO on a CPU (or another of its devices): ONNX and its own format.

How it computes single rows of varying length, and what follows. Measured with the demo's student (3 layers of MiniLM,
INT8 by NNCF), sentences of 27 tokens on average, OpenVINO 2026.4 on two cores of a Zen 4:

- The same length as in the call before: 0.93 ms with one thread, as ONNX Runtime INT8 (0.96). Another length that was
  there before: 1.15 ms. Each of about 100 operators infers its shape and looks up its kernel anew: a cost of the call,
  not of the row, which vanishes in a batch. This is why OpenVINO matches in batches and loses on single sentences.
- A length for the first time: 3.6 ms on top (13 ms with 6 layers), as kernels are compiled for it, and 1.8 MB that stay
  in memory. The default cache kept the kernels of 128 lengths of 6 layers; without it every call took 1.7 times as
  long.
- So lengths are rounded up to four significant binary digits (`lengths.rounded`), where the inputs have a mask that
  says what is padding. The first 300 sentences then take 0.87 of the time, later ones 1.01 to 1.03 of it; all lengths
  up to 128 take 60 MB in place of 227. Batches of 1,024 tokens: 0.99 at first, 1.03 later.
- No cure: unpinned threads, flushed denormals, bf16, a larger cache, `convert_model` in place of `read_model`,
  multiples of 4, 8, 16 or 32. A model of static shapes for each of some lengths spares the cost of the call (0.83 of
  the time at equal lengths, 6 layers), and takes 100 MB and half a second for each of them.
- What helps most: two calls side by side on one thread each (`streams`) answer 1.6 times as many single sentences as
  one call after the other on two threads.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.errors import ModelError, ProviderError
from hfcompress.extras import require
from hfcompress.onnx_graph.file import model_file
from hfcompress.openvino_ir.core import openvino_core
from hfcompress.openvino_ir.executed import Product, products_of
from hfcompress.openvino_ir.file import ir_file
from hfcompress.openvino_ir.layers import is_quantized
from hfcompress.openvino_ir.library import reason
from hfcompress.runtimes.base import check_inputs
from hfcompress.runtimes.lengths import MASK, most_positions, padded, rounded
from hfcompress.runtimes.settings import Precision, Settings

CPU = "CPU"
#: Our word for a precision -> OpenVINO's hint, and what a device has to be able to.
_PRECISIONS: dict[Precision, tuple[str, str]] = {
    "fp32": ("f32", "FP32"),
    "bf16": ("bf16", "BF16"),
    "fp16": ("f16", "FP16"),
}
#: In a graph that ONNX Runtime's dynamic quantization made; OpenVINO multiplies it in floating point.
_DYNAMIC = b"DynamicQuantizeLinear"


class OpenVinoRuntime:
    """One graph on one device. Needs OpenVINO and numpy only.

    Floating point is computed in float32 unless another precision is asked for: by itself OpenVINO takes bf16 where the
    CPU has it, which moves the logits of the demo's student by 0.018 in place of 0.000003.

    `predict` may be called from several threads: each call has a request of its own.

    Args:
        path: a folder with exactly one .xml or one .onnx file, or the file.
        device: of OpenVINO; those that choose another one by themselves (`AUTO`, `HETERO`, ...) are refused.
        settings: threads, streams and precision; its `runtime` is not read.

    Raises:
        ExtraError: OpenVINO is not installed.
        ModelError: no graph, several, or one that OpenVINO refuses.
        ProviderError: the device is not there, or does not compute in that precision.
    """

    def __init__(self, path: Path, device: str = CPU, settings: Settings = Settings()) -> None:
        if importlib.util.find_spec("openvino") is None:
            require("openvino", "running a model in OpenVINO")
        graph = graph_file(path)
        self.name = f"openvino:{device}"
        self.streams = settings.streams
        self.threads = settings.threads or max(1, _all_cores() // settings.streams)
        core = openvino_core()
        _check_device(core, device)
        self._model = _compile(core, graph, device, self._options(core, device, settings))
        self._dtypes = {port.any_name: port.element_type.to_dtype() for port in self._model.inputs}
        self._outputs = [port.any_name for port in self._model.outputs]
        self._by_token = [_is_by_token(port) for port in self._model.outputs]
        self._most = (most_positions(graph) or 0) if _has_mask(self._model) else 0
        self._idle: list[Any] = []

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs of the graph; it needs all of them."""
        return tuple(self._dtypes)

    def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph; inputs are cast to the graph's types. See `Runtime.predict`.

        Text is padded on the way, see this module; what comes back is of its own length.
        """
        check_inputs(batch, self._dtypes, self.name)
        inputs = {name: np.ascontiguousarray(batch[name], dtype=dtype) for name, dtype in self._dtypes.items()}
        if not self._most:
            return self._infer(inputs)
        length = inputs[MASK].shape[1]
        outputs = self._infer(padded(inputs, rounded(length, self._most)))
        cut = zip(outputs.items(), self._by_token, strict=True)
        return {name: values[:, :length] if by_token else values for (name, values), by_token in cut}

    def products(self) -> list[Product]:
        """Every operator that multiplies, in the graph as it runs, after OpenVINO's own optimizations."""
        return products_of(self._model)

    def _options(self, core: Any, device: str, settings: Settings) -> dict[str, Any]:
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY" if settings.streams == 1 else "THROUGHPUT",
            "NUM_STREAMS": settings.streams,
            "INFERENCE_PRECISION_HINT": _precision(core, device, settings.precision),
        }
        if device == CPU:
            options["INFERENCE_NUM_THREADS"] = self.threads * settings.streams
            # Else two processes beside each other would each pin their threads to the first cores.
            options["ENABLE_CPU_PINNING"] = False
        return options

    def _infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self._request() as request:
            found = request.infer(inputs, share_inputs=True)
            return {name: found[place] for place, name in enumerate(self._outputs)}

    @contextmanager
    def _request(self) -> Iterator[Any]:
        """A request that nobody else uses; as many are made as there are calls at once."""
        try:
            request = self._idle.pop()  # atomic, as `append` is
        except IndexError:
            request = self._model.create_infer_request()
        try:
            yield request
        finally:
            self._idle.append(request)


def graph_file(path: Path) -> Path:
    """The one .xml or .onnx file of a folder, checked; a file is itself.

    Raises:
        ModelError, UnsafeError: see `ir_file` and `model_file`; or the graph is dynamic INT8.
    """
    if path.suffix == ".xml" or (path.is_dir() and any(path.glob("*.xml"))):
        return ir_file(path)
    graph = model_file(path)
    if _mentions(graph, _DYNAMIC):
        raise ModelError(
            f"{graph} is dynamic INT8 for ONNX Runtime, which OpenVINO would compute in floating point, many times "
            "slower; run it in `onnxruntime`, or quantize with a `calibration`"
        )
    return graph


def integer_product_count(path: Path) -> int:
    """How many operators multiply integers on this CPU, once OpenVINO has optimized the graph."""
    if path.is_dir() and any(path.glob("*.xml")) and not is_quantized(ir_file(path)):
        return 0
    return sum(product.is_integer for product in OpenVinoRuntime(path, settings=Settings(threads=1)).products())


def _mentions(graph: Path, word: bytes) -> bool:
    import mmap

    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        return whole.find(word) >= 0


def _all_cores() -> int:
    # Imported late: it brings pydantic, which the peak memory of a worker that is told its threads should not hold.
    from hfcompress.host import default_threads

    return default_threads()


def _check_device(core: Any, device: str) -> None:
    if device not in core.available_devices:
        there = ", ".join(core.available_devices) or "none"
        raise ProviderError(f"OpenVINO has no device {device!r} here; it has {there}; ask for `openvino:{CPU}`")


def _precision(core: Any, device: str, asked: Precision | None) -> str:
    hint, capability = _PRECISIONS[asked or "fp32"]
    able = capability in core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if device == CPU and capability == "BF16" and able:
        from hfcompress.host import has_bf16

        able = has_bf16()  # OpenVINO also says so where it can only imitate it
    if not able:
        raise ProviderError(
            f"`openvino:{device}` does not compute in {asked or 'fp32'} on this machine (bf16 needs a CPU with "
            "avx512_bf16 or amx_bf16); give another `precision`, or none, which is fp32"
        )
    return hint


def _compile(core: Any, graph: Path, device: str, options: Mapping[str, Any]) -> Any:
    try:
        model = core.compile_model(core.read_model(graph), device, options)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot load {graph}: {reason(error)}") from error
    used = model.get_property("EXECUTION_DEVICES")
    if used not in ([device], [f"{device}.0"]):  # the first GPU calls itself `GPU.0`
        raise ProviderError(f"OpenVINO uses {', '.join(used)} and not {device} for {graph}; ask for `openvino:{CPU}`")
    return model


def _has_mask(model: Any) -> bool:
    """Whether rows of tokens may be padded: there is a mask of (rows, tokens), of any size."""
    ports = (port for port in model.inputs if port.any_name == MASK)
    return any(len(shape := port.get_partial_shape()) == 2 and shape[1].is_dynamic for port in ports)


def _is_by_token(port: Any) -> bool:
    """Whether an output has its tokens on axis 1: a number of classes is known, a number of tokens is not."""
    shape = port.get_partial_shape()
    return bool(shape.rank.is_static and len(shape) > 1 and shape[1].is_dynamic)
