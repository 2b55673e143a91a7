"""How an artifact is run: what computes it, on how many cores, in which precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hfcompress.errors import InputError

#: What floating point is computed in.
Precision = Literal["fp32", "bf16", "fp16"]

#: Target of INT8 -> what runs its graphs on this machine, where that is not ONNX Runtime's CPU provider.
RUNTIMES = {"openvino": "openvino:CPU"}


@dataclass(frozen=True)
class Settings:
    """How an artifact is run. Needs no pydantic: a worker's memory should be its artifact's.

    Attributes:
        runtime: as `Runtime.name` has it: `torch`, `torch:cuda`, `onnxruntime:CPUExecutionProvider`, `openvino:CPU`,
            `simulated:avx2`. None: the format's own, on the CPU.
        threads: cores of one call; None: all that this process may use, over the number of streams.
        streams: calls that run side by side, each on `threads` cores.
        precision: what floating point is computed in; None: as the runtime would have it.
    """

    runtime: str | None = None
    threads: int | None = None
    streams: int = 1
    precision: Precision | None = None

    def __post_init__(self) -> None:
        for name in ("threads", "streams"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} should be 1 or more, got {value}")

    def threads_of(self, cores: int) -> int:
        """Threads of one call where `cores` may be used by all of them."""
        return self.threads or max(1, cores // self.streams)
