"""What INT8 each target wants, as data with reasons.

Common to all: weights are symmetric (a zero point of a weight costs a product more), one scale a channel or a tensor as
the recipe says; activations have one scale a tensor, since one for each channel could not leave the sum. Static INT8 is
written as Q/DQ, the one form that all of them read; dynamic INT8 is ONNX Runtime's own operators.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from hfcompress.artifact import Artifact
from hfcompress.errors import InputError
from hfcompress.recipe.quantization import Target

#: The kinds of CPU; `auto` is one of them.
Cpu = Literal["avx2", "avx512", "avx512_vnni", "arm64"]
TargetName = Cpu | Literal["tensorrt", "openvino"]

#: The operators that gain from dynamic INT8: products, and the embedding table, which is most of a small model's size.
#: `Transpose` only moves what is already quantized. Convolutions are left out: their dynamic INT8 kernel
#: (`ConvInteger`) is slower than fp32 on a CPU.
DYNAMIC_OPERATORS = ("MatMul", "Gather", "Transpose")
#: Products with a weight. The two products of an attention have none, and are left in floating point.
_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv"})
#: Operators between convolutions, whose integer kernels spare a way through floating point: residual sums, pooling.
_BETWEEN = frozenset({"Relu", "Clip", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten"})


@dataclass(frozen=True)
class Scheme:
    """How tensors are quantized for one target.

    Attributes:
        target: its name.
        provider: ONNX Runtime's execution provider that it is meant for.
        signed_weights: int8 with zero point 0, or uint8.
        reduce_range: 7-bit weights.
        signed_activations: int8 or uint8.
        symmetric_activations: zero point 0 (128 of uint8), or where the values want it.
        products: the operators with a weight that static INT8 quantizes.
        tables: whether it quantizes embedding tables.
        between: operators that static INT8 quantizes where all that they read comes from a quantized convolution.
        residuals: whether sums that follow a convolution have their other summand quantized, and nothing else of them.
        integer_outputs: products whose integer kernel needs an output in integers too. Elsewhere the output stays in
            floating point: rounding it loses accuracy, and what follows (bias, LayerNorm, GELU) reads floating point.
        integer_biases: whether biases become int32.
        whole_pairs: weights are written in floating point with Q and DQ behind them, and each reader of an activation
            has a Q/DQ of its own, in place of stored integers and shared Q.
        dynamic: whether activations may be quantized at run time.
        reason: why, for people.
    """

    target: TargetName
    reason: str
    provider: str = "CPUExecutionProvider"
    signed_weights: bool = True
    reduce_range: bool = False
    signed_activations: bool = False
    symmetric_activations: bool = False
    products: frozenset[str] = _PRODUCTS
    tables: bool = True
    between: frozenset[str] = _BETWEEN
    residuals: bool = False
    integer_outputs: frozenset[str] = frozenset({"Conv"})
    integer_biases: bool = True
    whole_pairs: bool = False
    dynamic: bool = True


_SATURATES = "without VNNI two u8 x s8 products are added in 16 bits and saturate: weights of 7 bits fit"

SCHEMES: dict[TargetName, Scheme] = {
    "avx512_vnni": Scheme(
        "avx512_vnni", "VNNI adds u8 x s8 products in 32 bits: 8-bit signed weights are exact and fastest"
    ),
    "avx512": Scheme("avx512", _SATURATES, reduce_range=True),
    "avx2": Scheme("avx2", _SATURATES, reduce_range=True),
    "arm64": Scheme("arm64", "dot-product instructions add in 32 bits: 8-bit signed weights are exact"),
    "tensorrt": Scheme(
        "tensorrt",
        "TensorRT takes explicit Q/DQ alone: int8 with zero points 0, on the inputs of products, biases in float",
        provider="TensorrtExecutionProvider",
        signed_activations=True,
        symmetric_activations=True,
        tables=False,
        between=frozenset(),
        residuals=True,
        integer_outputs=frozenset(),
        integer_biases=False,
        whole_pairs=True,
        dynamic=False,
    ),
    "openvino": Scheme(
        "openvino",
        "OpenVINO reads INT8 from Q/DQ: uint8 activations, signed weights; it chooses kernels by the CPU it runs on",
        provider="OpenVINOExecutionProvider",
        dynamic=False,
    ),
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


def check_dynamic(scheme: Scheme) -> None:
    """Refuse dynamic INT8 for a target that cannot run it.

    Raises:
        InputError: it cannot.
    """
    if not scheme.dynamic:
        raise InputError(
            f"target {scheme.target} takes static INT8 alone, got no calibration: {scheme.reason}; add "
            f"`calibration: {{}}` (`--data` on the command line), or choose a CPU: {', '.join(get_args(Cpu))}"
        )


def runs_elsewhere(target: Target) -> bool:
    """Whether what is made for a target needs a runtime that ONNX Runtime's CPU provider is not.

    Such a graph is measured on that provider all the same: its answers are those of the target, up to rounding, and its
    speed says nothing of it.
    """
    return target != "auto" and SCHEMES[target].provider != Scheme.provider


def target_remarks(artifact: Artifact) -> tuple[str, ...]:
    """What a reader has to know of an artifact's target before trusting figures of its speed."""
    target = (artifact.details or {}).get("target")
    has_its_own = artifact.format == "torch" or artifact.runtime is not None
    if has_its_own or target not in SCHEMES or not runs_elsewhere(target):
        return ()
    measured = "measured here in ONNX Runtime on the CPU"
    return (f"made for {target}, and {measured}: its answers count, its speed says nothing of {target}",)
