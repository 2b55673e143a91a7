#!/usr/bin/env python3
"""Measures this bundle on the machine where it lies, and writes measurement.json beside itself.

    python3 measure.py [--threads N] [--provider NAME] [--out FILE]

Needs Python 3.10 or newer, numpy, and the one runtime of bundle.json: `onnxruntime`, `openvino`, or TensorRT's Python
bindings (`tensorrt`) with the GPU's driver and the engine that build.sh built here. Nothing of hfcompress.

In this order: every file against SHA256SUMS; peak memory of one pass over the sample; the latency of single calls of
fixed sizes; throughput on the sample, sorted by length, in batches; then accuracy, and agreement with the answers that
travel along. A call takes arrays of the host and gives arrays of the host: copies to a GPU and back are in its time.

What is measured is data: bundle.json says it all, and this file is the same in every bundle.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = "hfcompress.measurement/1"
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
#: What ONNX Runtime computes on the CPU on purpose beside CUDA: sizes, which are a few integers.
OF_SIZES = {
    "Shape",
    "Size",
    "Gather",
    "Unsqueeze",
    "Squeeze",
    "Concat",
    "Slice",
    "Cast",
    "Range",
    "Reshape",
    "Identity",
}
OF_SIZES |= {"Add", "Sub", "Mul", "Div", "Equal", "Where", "ConstantOfShape", "Min", "Max", "Constant"}
#: What floating point is computed in -> OpenVINO's hint, and what a device has to be able to.
OPENVINO_PRECISIONS = {"fp32": ("f32", "FP32"), "bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16")}
#: Numbers agree when they differ by at most this share of the range of the reference.
TOLERANCE = 0.01
#: Calls of one size before another size has its turn, so that a noisy minute touches all sizes.
CALLS_PER_TURN = 5
#: flag -> its names in /proc/cpuinfo: the instruction sets that decide how fast INT8 and bf16 are.
FLAGS = {
    "avx2": ("avx2",),
    "avx512f": ("avx512f",),
    "avx512_vnni": ("avx512_vnni", "avx512vnni"),
    "avx_vnni": ("avx_vnni",),
    "avx512_bf16": ("avx512_bf16",),
    "amx_int8": ("amx_int8",),
    "amx_bf16": ("amx_bf16",),
    "asimddp": ("asimddp",),
    "i8mm": ("i8mm",),
    "bf16": ("bf16",),
}

#: Element types as ONNX Runtime and TensorRT name them -> numpy's.
ONNX_TYPES: dict[str, Any] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
}
TENSORRT_TYPES: dict[str, Any] = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}
#: How to get TensorRT's Python bindings.
BINDINGS = (
    "on a Jetson: apt-get install python3-libnvinfer, for the system's own python3; elsewhere: pip install tensorrt"
)

Batch = dict[str, np.ndarray]


class RefusedError(Exception):
    """What cannot be measured, why, and the way out."""


# --- the bundle -------------------------------------------------------------------------------------------------------


def verify(folder: Path) -> None:
    """Refuse a bundle of which a file is not what SHA256SUMS says; a file that was added later is none of it."""
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise RefusedError(f"{sums.name} is missing: this is no whole bundle; copy it again")
    for line in sums.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        if not (folder / name).is_file():
            raise RefusedError(f"{name} is missing; copy the bundle again")
        if sha256(folder / name) != expected:
            raise RefusedError(f"{name} is not what it was when the bundle was made; copy the bundle again")


def sha256(path: Path) -> str:
    """In hex, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class Packed:
    """Batches in one npz file, `<batch>.<name>` -> array; one batch is in memory at a time.

    Attributes:
        names: of the batches, in order.
    """

    def __init__(self, path: Path) -> None:
        self._file = np.load(path, allow_pickle=False)
        self._keys: dict[str, list[str]] = {}
        for key in self._file.files:
            self._keys.setdefault(key.partition(".")[0], []).append(key)
        self.names = list(self._keys)

    def __getitem__(self, name: str) -> Batch:
        return {key.partition(".")[2]: self._file[key] for key in self._keys.get(name, ())}

    def __iter__(self) -> Iterator[Batch]:
        return (self[name] for name in self.names)


# --- runtimes ---------------------------------------------------------------------------------------------------------


def load_library(name: str, how: str) -> Any:
    """Import the runtime, or say how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RefusedError(f"the Python package {name} cannot be imported ({error}); {how}") from error


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Say in one line what a runtime fails with: its own exceptions have no class in common."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:600] or type(error).__name__
        raise RefusedError(f"{what}: {said}") from error


def as_asked(batch: Batch, dtypes: dict[str, Any]) -> Batch:
    """The inputs that a model takes, in its own types."""
    if missing := [name for name in dtypes if name not in batch]:
        raise RefusedError(
            f"the model takes {', '.join(missing)}, which the sample does not hold; make the bundle again"
        )
    return {name: np.ascontiguousarray(batch[name], dtype=dtype) for name, dtype in dtypes.items()}


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
        self._session = runtime.InferenceSession(
            str(folder / bundle["model"]),
            sess_options=options,
            providers=[provider],
            disabled_optimizers=bundle["disabled_optimizers"] if provider == CPU else None,
        )
        self._session.disable_fallback()
        if (used := self._session.get_providers()[0]) != provider:
            raise RefusedError(f"ONNX Runtime uses {used} and not {provider}: its libraries could not be loaded")
        if provider != CPU and tells:
            check_placement(self._session.get_provider_graph_assignment_info(), provider)
        self._dtypes = {node.name: ONNX_TYPES.get(node.type) for node in self._session.get_inputs()}
        self._outputs = bundle["outputs"]
        self.name, self.threads = f"onnxruntime:{provider}", threads
        self.versions = {"onnxruntime": runtime.__version__}
        self.gpus: list[str] = []

    def __call__(self, batch: Batch) -> Batch:
        """Inputs to outputs by name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, as_asked(batch, self._dtypes)), strict=True))


def check_placement(parts: Any, provider: str) -> None:
    """Refuse a graph of which another provider computes more than sizes."""
    nodes = [(part.ep_name, node) for part in parts if part.ep_name != provider for node in part.get_nodes()]
    if left := [(name, node) for name, node in nodes if provider != CUDA or node.op_type not in OF_SIZES]:
        named = ", ".join(f"{node.name or '(unnamed)'} ({node.op_type})" for _, node in left[:3])
        raise RefusedError(
            f"{provider} leaves {len(left)} operators to {', '.join(sorted({name for name, _ in left}))}, as {named}; "
            f"measure with --provider {CPU}, or change the model"
        )


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
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads), "NUM_STREAMS": "1"}
        config["INFERENCE_PRECISION_HINT"] = hint
        if device != "CPU":
            config = {name: value for name, value in config.items() if name != "INFERENCE_NUM_THREADS"}
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


class Cuda:
    """The few calls of CUDA's driver that copies need; the driver is wherever a GPU is, on a Jetson too.

    TensorRT computes in the device's primary context (CUDA Driver API, "Primary Context Management"): so do these.
    """

    def __init__(self) -> None:
        try:
            self._driver = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise RefusedError(
                f"the GPU's driver cannot be loaded ({error}); run this on the machine with the GPU"
            ) from error
        device, context, stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._do("cuInit", ctypes.c_uint(0))
        self._do("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._do("cuCtxSetCurrent", context)
        self._do("cuStreamCreate", ctypes.byref(stream), ctypes.c_uint(1))  # it waits for no other stream
        name = ctypes.create_string_buffer(256)
        self._do("cuDeviceGetName", name, ctypes.c_int(256), device)
        self.stream, self.device_name = int(stream.value or 0), name.value.decode()

    def _do(self, call: str, *arguments: Any) -> None:
        if code := getattr(self._driver, call)(*arguments):
            raise RefusedError(f"{call} of the GPU's driver failed with error {code} (CUresult)")

    def allocate(self, size: int) -> int:
        """The address of so many bytes on the GPU."""
        address = ctypes.c_uint64()
        self._do("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(1, size)))
        return int(address.value)

    def free(self, address: int) -> None:
        """Give memory back."""
        self._do("cuMemFree_v2", ctypes.c_uint64(address))

    def upload(self, address: int, array: np.ndarray) -> None:
        """Host to GPU, in the order of the stream."""
        host, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
        self._do("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), host, size, ctypes.c_void_p(self.stream))

    def download(self, address: int, array: np.ndarray) -> None:
        """GPU to host, in the order of the stream; it is there after `wait`."""
        host, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
        self._do("cuMemcpyDtoHAsync_v2", host, ctypes.c_uint64(address), size, ctypes.c_void_p(self.stream))

    def wait(self) -> None:
        """Until everything in the stream is done."""
        self._do("cuStreamSynchronize", ctypes.c_void_p(self.stream))


class TensorRt:
    """The engine that build.sh built on this machine, run through TensorRT's Python bindings (8.6 to 11)."""

    def __init__(self, folder: Path, bundle: dict[str, Any], threads: int, provider: str) -> None:
        plan = folder / bundle["engine"]
        if not plan.is_file():
            raise RefusedError(f"{plan.name} is not there: run ./build.sh on this machine first")
        tensorrt = load_library("tensorrt", BINDINGS)
        self._cuda = Cuda()
        self._logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        self._runtime = tensorrt.Runtime(self._logger)  # must live as long as its engine
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise RefusedError(
                f"TensorRT {tensorrt.__version__} cannot read {plan.name}: an engine runs on the GPU and the version "
                "of TensorRT that built it; run ./build.sh again"
            )
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        dtypes = {name: self._dtype(name) for name in names}
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
        self._inputs = {name: dtypes[name] for name in inputs}
        self._outputs = {name: dtypes[name] for name in names if name not in inputs}
        self._memory: dict[str, tuple[int, int]] = {}  # name -> address, bytes
        self.name, self.threads = "tensorrt", threads
        self.versions = {"tensorrt": tensorrt.__version__}
        self.gpus = [self._cuda.device_name]

    def _dtype(self, name: str) -> Any:
        said = str(self._engine.get_tensor_dtype(name)).rpartition(".")[2]
        if said not in TENSORRT_TYPES:
            raise RefusedError(f"`{name}` of the engine is {said}, which numpy does not have; export it as fp32")
        return TENSORRT_TYPES[said]

    def __call__(self, batch: Batch) -> Batch:
        """Inputs to outputs by name."""
        given = as_asked(batch, self._inputs)
        for name, array in given.items():
            if not self._context.set_input_shape(name, array.shape):
                sizes = "x".join(map(str, array.shape))
                raise RefusedError(
                    f"the engine takes no {name} of {sizes}: its profile is another; run ./build.sh again"
                )
            self._cuda.upload(self._place(name, array), array)
        found = {}
        for name, dtype in self._outputs.items():
            found[name] = np.empty(tuple(self._context.get_tensor_shape(name)), dtype)
            self._place(name, found[name])
        if not self._context.execute_async_v3(self._cuda.stream):
            raise RefusedError("TensorRT could not run the engine; its own words are above")
        for name, array in found.items():
            self._cuda.download(self._memory[name][0], array)
        self._cuda.wait()
        return found

    def _place(self, name: str, array: np.ndarray) -> int:
        """Room on the GPU for an array, which only ever grows."""
        address, size = self._memory.get(name, (0, 0))
        if array.nbytes > size or not address:
            if address:
                self._cuda.free(address)
            address = self._cuda.allocate(array.nbytes)
            self._memory[name] = address, array.nbytes
        self._context.set_tensor_address(name, address)
        return address


RUNTIMES: dict[str, Callable[..., Any]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "tensorrt": TensorRt}


# --- speed ------------------------------------------------------------------------------------------------------------


def seconds_of(predict: Callable[[Batch], Batch], batch: Batch) -> float:
    """Of one call."""
    begin = time.perf_counter()
    predict(batch)
    return time.perf_counter() - begin


def time_grid(predict: Callable[[Batch], Batch], grid: Packed, benchmark: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds of each call of each size, the sizes by turns; calls that warm up do not count."""
    found: dict[str, list[float]] = {name: [] for name in grid.names}
    for start in range(0, benchmark["repeats"], CALLS_PER_TURN):
        for name in grid.names:
            batch = grid[name]
            for _ in range(benchmark["warmup"] if start == 0 else 1):
                predict(batch)
            count = min(CALLS_PER_TURN, benchmark["repeats"] - start)
            found[name] += [seconds_of(predict, batch) for _ in range(count)]
    return found


def time_stream(predict: Callable[[Batch], Batch], sample: Packed) -> float:
    """Seconds of one pass over the sample: the sum over its calls, without reading the batches."""
    return sum(seconds_of(predict, batch) for batch in sample)


def latency(cell: dict[str, Any], seconds: list[float]) -> dict[str, Any]:
    """Percentiles of one size in milliseconds, and the samples in seconds. p99 of few samples is about the slowest."""
    values = np.percentile(1e3 * np.asarray(seconds), (50, 90, 95, 99))
    named = {f"p{p}_ms": float(value) for p, value in zip((50, 90, 95, 99), values, strict=True)}
    return {"batch": cell["batch"], "sequence": cell["sequence"], **named, "seconds": seconds}


# --- answers ----------------------------------------------------------------------------------------------------------


class Tally:
    """Counts over batches: how far from the reference, how often the same decision, how often right.

    Args:
        decision: `class`: the place of the largest of the last axis; `classes`: each of which is above 0; `number`:
            equal within 1% of the range of the reference.
        spread: that range.
    """

    def __init__(self, decision: str, spread: float) -> None:
        self.decision, self.spread = decision, spread
        self.decisions = self.equal = self.values = 0
        self.largest = self.squares = 0.0
        self.rows = self.correct = self.won = self.lost = 0

    def compare(self, ours: np.ndarray, reference: np.ndarray) -> None:
        """One output of one batch."""
        distance = np.abs(ours.astype(np.float64) - reference)
        if self.decision == "class":
            same = ours.argmax(axis=-1) == reference.argmax(axis=-1)
        elif self.decision == "classes":
            same = (ours > 0) == (reference > 0)
        else:
            same = distance <= TOLERANCE * self.spread
        self.decisions, self.equal = self.decisions + same.size, self.equal + int(same.sum())
        self.values, self.squares = self.values + distance.size, self.squares + float((distance**2).sum())
        self.largest = max(self.largest, float(distance.max(initial=0.0)))

    def judge(self, ours: np.ndarray, reference: np.ndarray, labels: np.ndarray) -> None:
        """The classes of one batch by its labels."""
        right, before = ours.argmax(axis=-1) == labels, reference.argmax(axis=-1) == labels
        self.rows, self.correct = self.rows + len(labels), self.correct + int(right.sum())
        self.won, self.lost = self.won + int((right & ~before).sum()), self.lost + int((before & ~right).sum())

    def accuracy(self) -> dict[str, Any]:
        """`won`: right here and wrong in the reference; `lost`: the reverse."""
        counts = {"rows": self.rows, "correct": self.correct, "won": self.won, "lost": self.lost}
        return {"value": self.correct / self.rows, **counts}

    def agreement(self) -> dict[str, Any]:
        """Share of equal decisions; differences of the outputs, in their own unit."""
        rms = float(np.sqrt(self.squares / max(1, self.values)))
        counts = {"decisions": self.decisions, "equal": self.equal}
        return {"share": self.equal / self.decisions, **counts, "max_difference": self.largest, "rms_difference": rms}


def judge(predict: Callable[[Batch], Batch], bundle: dict[str, Any], sample: Packed, reference: Packed) -> Tally:
    """Answer the sample, and compare with its labels and with the answers that travel along."""
    tally = Tally(bundle["decision"], range_of(reference, bundle["outputs"]))
    for name in sample.names:
        outputs, known = predict(sample[name]), reference[name]
        for output in bundle["outputs"]:
            ours = outputs[output]
            if not np.isfinite(ours).all():
                raise RefusedError(
                    f"{np.count_nonzero(~np.isfinite(ours))} of {ours.size} numbers in `{output}` are NaN or infinite "
                    "here; half precision overflows so: build in another precision"
                )
            ours = ours[known["mask"]] if "mask" in known else ours
            tally.compare(ours, known[output])
            if bundle["metric"] == "accuracy":
                tally.judge(ours, known[output], known["labels"])
    return tally


def range_of(reference: Packed, outputs: list[str]) -> float:
    """Largest less smallest number of the reference."""
    ends = [(batch[name].min(), batch[name].max()) for batch in reference for name in outputs if batch[name].size]
    return float(max(high for _, high in ends) - min(low for low, _ in ends))


# --- the host: models of its parts, never its name --------------------------------------------------------------------


def describe_host(gpus: list[str]) -> dict[str, Any]:
    """CPU, GPU, board, cores, memory and system; no name, user, address or path."""
    cpuinfo = fields_of("/proc/cpuinfo")
    has = set((cpuinfo.get("flags") or cpuinfo.get("Features") or "").split())
    memory = int((fields_of("/proc/meminfo").get("MemTotal") or "0").split()[0]) * 1024
    host = {
        "cpu": cpuinfo.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "flags": {flag: not has.isdisjoint(names) for flag, names in FLAGS.items()} if has else {},
        "cores": usable_cores(),
        "memory_gb": round(memory / 1e9),
        "os": f"{platform.system()} {'.'.join(platform.release().split('-')[0].split('.')[:2])}",
        "python": platform.python_version(),
        "gpus": gpus or lines_of(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]),
    }
    board = text_of("/proc/device-tree/model").strip("\0 \n")
    mode = [line.partition(":")[2].strip() for line in lines_of(["nvpmodel", "-q"]) if "Power Mode" in line]
    return {**host, **({"board": board} if board else {}), **({"power_mode": mode[0]} if mode else {})}


def has_bf16() -> bool:
    """Whether the CPU multiplies bf16; OpenVINO also takes it where it has to imitate it."""
    cpuinfo = fields_of("/proc/cpuinfo")
    has = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    return any(flag in has for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def usable_cores() -> int:
    """Cores that this process may use: its affinity, cut to the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = text_of("/sys/fs/cgroup/cpu.max").partition(" ")
    return max(1, min(cores, int(quota) // int(period))) if quota.isdigit() and period.strip().isdigit() else cores


def peak_memory_mb() -> float:
    """Peak resident memory of this process, 10^6 bytes; memory of a GPU of its own is not in it."""
    said = fields_of("/proc/self/status").get("VmHWM")
    if said is not None:
        return int(said.split()[0]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def fields_of(path: str) -> dict[str, str]:
    """`name: value` lines; the first of each name."""
    found: dict[str, str] = {}
    for line in text_of(path).splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), " ".join(value.split()))
    return found


def text_of(path: str) -> str:
    """What a file of the system says; nothing where it is not there."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def lines_of(command: list[str]) -> list[str]:
    """What a command of the system prints; nothing where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return []
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in said.splitlines() if line.strip()]


# --- all of it --------------------------------------------------------------------------------------------------------


def measure(folder: Path, threads: int, provider: str) -> dict[str, Any]:
    """Everything that measurement.json says."""
    verify(folder)
    bundle = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    with refusing(f"{bundle['runtime']} cannot open {bundle['model']}"):
        predict = RUNTIMES[bundle["runtime"]](folder, bundle, threads, provider)
    sample, grid, reference = (Packed(folder / f"{name}.npz") for name in ("sample", "grid", "reference"))
    benchmark = bundle["benchmark"]
    with refusing(f"{bundle['runtime']} cannot run {bundle['model']}"):
        time_stream(predict, sample)  # warms up; and its memory is that of serving, which the grid's sizes may exceed
        memory = peak_memory_mb()
        calls = time_grid(predict, grid, benchmark)
        passes = [time_stream(predict, sample) for _ in range(benchmark["passes"])]
        tally = judge(predict, bundle, sample, reference)
    return {
        "schema": SCHEMA,
        "artifact": bundle["artifact"],
        "target": bundle["target"],
        "precision": bundle["precision"],
        "host": describe_host(predict.gpus),
        "runtime": {
            "name": predict.name,
            "threads": predict.threads,
            "versions": {**predict.versions, "numpy": np.__version__},
        },
        "latency": [latency(cell, calls[cell["name"]]) for cell in benchmark["grid"]],
        "throughput": {
            "rows_per_s": bundle["rows"] / float(np.median(passes)),
            "rows": bundle["rows"],
            "seconds": passes,
        },
        "peak_memory_mb": memory,
        "split": bundle["split"],
        "accuracy": tally.accuracy() if bundle["metric"] == "accuracy" else None,
        "agreement": {**tally.agreement(), "reference": bundle["reference"]["runtime"]},
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """For people."""
    artifact, runtime, host = found["artifact"], found["runtime"], found["host"]
    where = host.get("board") or ", ".join(host["gpus"]) or host["cpu"]
    yield f"{artifact['name']} in {runtime['name']} on {where}, {runtime['threads']} threads"
    for cell in found["latency"]:
        size = f"batch {cell['batch']}" + ("" if cell["sequence"] is None else f", sequence {cell['sequence']}")
        figures = "  ".join(f"p{p} {cell[f'p{p}_ms']:.2f}" for p in (50, 90, 95, 99))
        yield f"  latency, {size}: {figures} ms"
    yield f"  throughput: {found['throughput']['rows_per_s']:,.0f} rows/s on {found['throughput']['rows']} rows"
    yield f"  peak memory: {found['peak_memory_mb']:,.0f} MB"
    if found["accuracy"] is not None:
        counts = found["accuracy"]
        of = f"{counts['correct']} of {counts['rows']} rows of {found['split']}"
        yield f"  accuracy: {100 * counts['value']:.1f} ({of})"
    agreed = found["agreement"]
    yield (
        f"  agreement with {agreed['reference']}: {100 * agreed['share']:.1f}% of {agreed['decisions']} decisions; "
        f"outputs differ by {agreed['max_difference']:.2g} at most, {agreed['rms_difference']:.2g} rms"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 0, or 2 where the bundle cannot be measured here."""
    folder = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Measure this bundle on this machine.")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="cores of a call; default: all")
    parser.add_argument("--provider", default=CPU, help="ONNX Runtime: the execution provider; OpenVINO: the device")
    parser.add_argument("--out", type=Path, default=folder / "measurement.json", help="default: measurement.json here")
    chosen = parser.parse_args(arguments)
    try:
        found = measure(folder, max(1, chosen.threads), chosen.provider)
    except RefusedError as error:
        print(f"measure.py: {error}", file=sys.stderr)
        return 2
    temporary = chosen.out.with_name(f".{chosen.out.name}.tmp")
    temporary.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, chosen.out)
    print("\n".join(lines(found)))
    print(f"wrote {chosen.out.name}; where the run is: hfcompress report RUN --add {chosen.out.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
