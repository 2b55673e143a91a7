"""The few calls of CUDA's driver that copies to a GPU and back need."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .failures import RefusedError


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
