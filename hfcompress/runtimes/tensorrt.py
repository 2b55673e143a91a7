"""TensorRT of this machine, and the engines that an artifact brings for it.

The manifest of an `engine` artifact holds the options of the execution provider, without paths: an artifact moves. Its
engines lie in `engines/<model>-<gpu>-trt<version>-ort<version>`. A machine that finds none there builds them into the
user's cache.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hfcompress.errors import InputError, ProviderError
from hfcompress.runtimes.providers import TENSORRT

ENGINES = "engines"
#: Where ONNX Runtime looks for engines and timings, and writes what it builds.
ENGINE_PATH, TIMING_PATH = "trt_engine_cache_path", "trt_timing_cache_path"
_MINIMUM, _MAXIMUM = "trt_profile_min_shapes", "trt_profile_max_shapes"
_DISTRIBUTIONS = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
_LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so")


@dataclass(frozen=True)
class Machine:
    """What an engine is built for: it runs nowhere else.

    Attributes:
        gpu: the GPU's own name.
        tensorrt: the version of TensorRT.
        onnxruntime: the version of ONNX Runtime, which looks for engines under a name that holds it: another one would
            find none, and build into an artifact that must not change.
    """

    gpu: str
    tensorrt: str
    onnxruntime: str

    @property
    def key(self) -> str:
        """For the name of a folder."""
        return f"{re.sub(r'[^a-z0-9]+', '-', self.gpu.lower()).strip('-')}-trt{self.tensorrt}-ort{self.onnxruntime}"


def this_machine(device: int = 0) -> Machine:
    """This machine's GPU and TensorRT.

    Args:
        device: which GPU, as CUDA counts them.

    Raises:
        ProviderError: it lacks one of them.
    """
    gpu, version = gpu_name(device), tensorrt_version()
    if gpu is None or version is None:
        lacking = "no TensorRT" if gpu is not None else f"no GPU {device} that CUDA's driver knows"
        raise ProviderError(
            f"an engine is built on the machine that it is for, and this one has {lacking}; install "
            f"'hfcompress[tensorrt]' and the driver, or take the model there: `hfcompress bundle`"
        )
    return Machine(gpu, version, onnxruntime_version())


def check_tensorrt() -> None:
    """Refuse a machine on which the TensorRT provider does not compute.

    Raises:
        ProviderError: the build of ONNX Runtime, a library or the GPU is missing.
    """
    import onnx
    from onnx import TensorProto, helper

    from hfcompress.runtimes.onnxruntime import OnnxRuntime

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], name="relu")], "probe", [x], [y])
    with TemporaryDirectory(prefix="hfcompress-") as folder:
        path = Path(folder) / "probe.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        OnnxRuntime(path, TENSORRT, threads=1, provider_options={})
    this_machine()


def tensorrt_version() -> str | None:
    """The version of TensorRT that would be loaded; None: there is none."""
    for name in _DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    for library in _LIBRARIES:  # as on a Jetson, where it comes with the system
        try:
            number = int(ctypes.CDLL(library).getInferLibVersion())
        except (OSError, AttributeError):
            continue
        # NvInferVersion.h: major * 10000 + minor * 100 + patch since TensorRT 10.
        return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return None


def onnxruntime_version() -> str:
    """Of the ONNX Runtime that opens engines."""
    import onnxruntime

    return str(onnxruntime.__version__)


def gpu_name(device: int) -> str | None:
    """A GPU's own name, by CUDA's numbers: those that `CUDA_VISIBLE_DEVICES` leaves, the fastest first.

    Asked of the driver, which a Jetson has too; `nvidia-smi` counts otherwise.
    """
    number, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        failed = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(number), device)
        failed = failed or driver.cuDeviceGetName(name, len(name), number)
    except (OSError, AttributeError):
        return None
    return None if failed else name.value.decode(errors="replace")


def provider_options(folder: Path | str) -> dict[str, str]:
    """The options of `TensorrtExecutionProvider` for an `engine` artifact, with the paths of this machine.

    They are what `onnxruntime.InferenceSession` and the model classes of Optimum take:

        ORTModelForSequenceClassification.from_pretrained(
            folder, provider="TensorrtExecutionProvider", provider_options=provider_options(folder)
        )

    Raises:
        InputError: it is no artifact of an `engine` stage.
        ProviderError: this machine has no GPU or no TensorRT.
    """
    options = stored_options(Path(folder))
    if options is None:
        raise InputError(f"{folder} has no engine; give the artifact of an `engine` stage")
    return with_paths(options, engines_here(Path(folder), options, this_machine(int(options.get("device_id", "0")))))


def stored_options(folder: Path) -> dict[str, str] | None:
    """The options in the manifest of an artifact; None where there are none. Needs no pydantic."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    from hfcompress.intake.json_text import read_mapping

    details = read_mapping(path).get("details", {})
    options = details.get("provider_options") if isinstance(details, dict) else None
    return {str(name): str(value) for name, value in options.items()} if isinstance(options, dict) else None


def with_paths(options: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Options with the folder of engines and timings."""
    paths = {ENGINE_PATH: str(folder.resolve())}
    if options.get("trt_timing_cache_enable") == "1":
        paths[TIMING_PATH] = paths[ENGINE_PATH]
    return {**options, **paths}


def engines_here(folder: Path, options: Mapping[str, str], machine: Machine) -> Path:
    """Where the engines of an artifact for a machine are: in it, or in the user's cache, which is made if need be."""
    own = engines_of(folder, machine)
    if own is not None:
        return own
    manifest = (folder / "manifest.json").read_bytes()
    digest = hashlib.sha256(manifest + json.dumps(dict(options), sort_keys=True).encode()).hexdigest()[:12]
    cache = cache_folder() / ENGINES / f"{digest}-{machine.key}"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def engines_of(folder: Path, machine: Machine) -> Path | None:
    """The engines that an artifact brings for a machine; None: it brings none."""
    found = sorted((folder / ENGINES).glob(f"*-{machine.key}"))
    return found[0] if found and any(found[0].glob("*.engine")) else None


def engine_folder(folder: Path, model: str, machine: Machine) -> Path:
    """Where an `engine` stage keeps what it builds; `model` is the sha256 of the graph."""
    return folder / ENGINES / f"{model[:12]}-{machine.key}"


def cache_folder() -> Path:
    """Where this user's programs keep what can be made again (XDG Base Directory Specification)."""
    said = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(said) if os.path.isabs(said) else Path.home() / ".cache") / "hfcompress"


def check_profile(options: Mapping[str, str], inputs: Mapping[str, np.ndarray]) -> None:
    """Refuse sizes that an engine was not built for.

    Raises:
        InputError: names the input, its sizes and the bounds.
    """
    low, high = (_shapes(options.get(name, "")) for name in (_MINIMUM, _MAXIMUM))
    for name, array in inputs.items():
        if name not in high:
            continue
        if len(high[name]) != array.ndim or not _within(low[name], array.shape, high[name]):
            raise InputError(
                f"`{name}` has the sizes {_text(array.shape)}, and the engine is built for {_text(low[name])} to "
                f"{_text(high[name])}; give smaller batches or shorter text, or name these sizes in `batch` and "
                "`sequence` of the `engine` stage"
            )


def _within(low: tuple[int, ...], sizes: tuple[int, ...], high: tuple[int, ...]) -> bool:
    return all(least <= size <= most for least, size, most in zip(low, sizes, high, strict=True))


def _shapes(text: str) -> dict[str, tuple[int, ...]]:
    """`input_ids:1x8,attention_mask:1x8`."""
    pairs = (part.rpartition(":") for part in text.split(",") if part)
    return {name: tuple(int(size) for size in sizes.split("x")) for name, _, sizes in pairs}


def _text(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
