"""TensorRT's engine of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .batches import Batch, as_asked
from .checksums import sha256
from .cuda import Cuda
from .failures import RefusedError, load_library
from .host import text_of

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


class TensorRt:
    """The engine that build.sh built on this machine, run through TensorRT's Python bindings (8.6 to 11)."""

    def __init__(self, folder: Path, bundle: dict[str, Any], threads: int, provider: str) -> None:
        plan = folder / bundle["engine"]
        check_engine(plan, folder / "SHA256SUMS")
        tensorrt = load_library("tensorrt", BINDINGS)
        self.failures = (RuntimeError,)
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
        if self._context is None:
            raise RefusedError(
                f"TensorRT cannot prepare {plan.name} to run, most often for want of memory: free some (a Jetson's GPU "
                "shares the system's), or bundle with smaller sizes (--profile)"
            )
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


def check_engine(plan: Path, sums: Path) -> None:
    """Refuse an engine that is not there, or that build.sh did not build of this bundle: `verify` knows neither."""
    if not plan.is_file():
        raise RefusedError(f"{plan.name} is not there: run ./build.sh on this machine first")
    built_of = plan.with_name(f"{plan.name}.of")
    if text_of(str(built_of)).partition(" ")[0] != sha256(sums):
        raise RefusedError(
            f"{plan.name} was not built of this bundle, or {built_of.name}, which says so, is missing: run ./build.sh "
            "again"
        )
