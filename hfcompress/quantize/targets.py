"""What INT8 each kind of CPU wants, as data with reasons."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hfcompress.recipe.quantization import Target

Cpu = Literal["avx2", "avx512", "avx512_vnni", "arm64"]

#: The operators that gain from dynamic INT8: products, and the embedding table, which is most of a small model's size.
#: `Transpose` only moves what is already quantized. Convolutions are left out: their dynamic INT8 kernel
#: (`ConvInteger`) is slower than fp32 on a CPU.
DYNAMIC_OPERATORS = ("MatMul", "Gather", "Transpose")


@dataclass(frozen=True)
class Scheme:
    """How weights are quantized for one kind of CPU. Activations are unsigned 8-bit, per tensor, at run time.

    Attributes:
        cpu: the kind of CPU.
        signed_weights: int8 with zero-point 0, or uint8.
        reduce_range: 7-bit weights.
        reason: why, for people.
    """

    cpu: Cpu
    signed_weights: bool
    reduce_range: bool
    reason: str


_SATURATES = "without VNNI two u8 x s8 products are added in 16 bits and saturate: weights of 7 bits fit"

SCHEMES: dict[Cpu, Scheme] = {
    "avx512_vnni": Scheme(
        "avx512_vnni", True, False, "VNNI adds u8 x s8 products in 32 bits: 8-bit signed weights are exact and fastest"
    ),
    "avx512": Scheme("avx512", True, True, _SATURATES),
    "avx2": Scheme("avx2", True, True, _SATURATES),
    "arm64": Scheme("arm64", True, False, "dot-product instructions add in 32 bits: 8-bit signed weights are exact"),
}


def scheme_for(target: Target, host_flags: Mapping[str, bool]) -> Scheme:
    """The scheme of a target; `auto` takes the one of the host whose CPU flags are given."""
    return SCHEMES[cpu_of(host_flags) if target == "auto" else target]


def cpu_of(flags: Mapping[str, bool]) -> Cpu:
    """The kind of CPU that has these flags. An unknown one is taken for AVX2, whose scheme is safe everywhere."""
    if flags.get("avx512_vnni") or flags.get("avx_vnni"):
        return "avx512_vnni"
    if flags.get("avx512f"):
        return "avx512"
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "avx2"
