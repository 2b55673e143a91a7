"""Stands in for TensorRT and the GPU's driver: the calls of both, on ONNX Runtime and the host's memory.

Everything in a stream happens when it is waited for, and no copy may leave its allocation: a script that reads too
early, or asks for too little, fails here. An engine is the ONNX graph itself; a tensor of more than 32 rows is outside
its profile.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import onnxruntime

__version__ = "10.3.0"

_TYPES = {"tensor(int64)": "INT64", "tensor(float)": "FLOAT"}
_NUMPY = {"INT64": np.int64, "FLOAT": np.float32}
_pending: list[Callable[[], None]] = []
_allocated: dict[int, Any] = {}
_retained: list[bool] = []


class TensorIOMode(Enum):
    INPUT = 1
    OUTPUT = 2


class DataType(Enum):
    INT64 = 1
    FLOAT = 2


class Logger:
    ERROR = 1

    def __init__(self, level: int) -> None:
        self.level = level


class Runtime:
    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        if plan.startswith(b"too large"):
            return Large()
        return None if plan.startswith(b"of another") else Engine(plan)


class Large:
    def create_execution_context(self) -> None:
        return None


class Engine:
    def __init__(self, plan: bytes) -> None:
        self.session = onnxruntime.InferenceSession(plan)
        self.nodes = {node.name: node for node in (*self.session.get_inputs(), *self.session.get_outputs())}
        self.inputs = [node.name for node in self.session.get_inputs()]
        self.num_io_tensors = len(self.nodes)

    def get_tensor_name(self, index: int) -> str:
        return list(self.nodes)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[_TYPES[self.nodes[name].type]]

    def create_execution_context(self) -> Context:
        return Context(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.shapes, self.addresses = engine, {}, {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return shape[0] <= 32

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        rows = next(iter(self.shapes.values()))[0]
        return (rows, *self.engine.nodes[name].shape[1:])

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        assert _retained
        shapes, addresses = dict(self.shapes), dict(self.addresses)
        _pending.append(lambda: self._run(shapes, addresses))
        return True

    def _run(self, shapes: dict[str, Any], addresses: dict[str, int]) -> None:
        given = {name: self._view(name, shapes[name], addresses[name]).copy() for name in self.engine.inputs}
        outputs = [name for name in self.engine.nodes if name not in self.engine.inputs]
        for name, array in zip(outputs, self.engine.session.run(outputs, given), strict=True):
            self._view(name, array.shape, addresses[name])[...] = array

    def _view(self, name: str, shape: Any, address: int) -> Any:
        dtype = np.dtype(_NUMPY[self.engine.get_tensor_dtype(name).name])
        size = int(np.prod(shape)) * dtype.itemsize
        assert size <= len(_allocated[address])
        return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)


class Driver:
    """libcuda.so.1."""

    def __getattr__(self, name: str) -> Any:
        return {
            "cuInit": lambda flags: 0,
            "cuDeviceGet": lambda device, ordinal: 0,
            "cuDevicePrimaryCtxRetain": lambda context, device: 0,
            "cuCtxSetCurrent": lambda context: _retained.append(True) or 0,
            "cuStreamCreate": lambda stream, flags: setattr(stream._obj, "value", 7) or 0,
            "cuDeviceGetName": lambda name, length, device: setattr(name, "value", b"Orin") or 0,
            "cuMemAlloc_v2": self._allocate,
            "cuMemFree_v2": lambda address: 0 if _allocated.pop(address.value) else 1,
            "cuMemcpyHtoDAsync_v2": lambda to, host, size, stream: self._copy(to.value, to.value, host.value, size),
            "cuMemcpyDtoHAsync_v2": lambda host, of, size, stream: self._copy(of.value, host.value, of.value, size),
            "cuStreamSynchronize": self._wait,
        }[name]

    def _allocate(self, address: Any, size: Any) -> int:
        buffer = (ctypes.c_char * size.value)()
        address._obj.value = ctypes.addressof(buffer)
        _allocated[address._obj.value] = buffer
        return 0

    def _copy(self, device: int, to: int, source: int, size: Any) -> int:
        if size.value > len(_allocated[device]):
            return 1
        _pending.append(lambda: ctypes.memmove(to, source, size.value) and None)
        return 0

    def _wait(self, stream: Any) -> int:
        while _pending:
            _pending.pop(0)()
        return 0


_load = ctypes.CDLL
ctypes.CDLL = lambda name, *rest: Driver() if name == "libcuda.so.1" else _load(name, *rest)  # type: ignore[misc,assignment]
