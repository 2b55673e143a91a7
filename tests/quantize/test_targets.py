"""What INT8 each kind of CPU wants."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfcompress.artifact import Artifact
from hfcompress.errors import InputError
from hfcompress.quantize.targets import (
    DYNAMIC_OPERATORS,
    SCHEMES,
    Cpu,
    check_dynamic,
    cpu_of,
    runs_elsewhere,
    scheme_for,
    target_remarks,
)
from hfcompress.recipe.quantization import Target

INT16 = np.iinfo(np.int16)


def test_every_target_of_the_recipe_language_has_a_scheme() -> None:
    targets = set(get_args(Target)) - {"auto"}
    assert targets == set(SCHEMES)
    assert set(get_args(Cpu)) == targets - {"tensorrt", "openvino"}
    for target in targets:
        assert scheme_for(target, {}).target == target
        assert scheme_for(target, {}).reason


@pytest.mark.parametrize(
    "flags, machine, cpu",
    [
        ({"avx2": True, "avx512f": True, "avx512_vnni": True}, "x86_64", "avx512_vnni"),
        ({"avx2": True, "avx_vnni": True}, "x86_64", "avx512_vnni"),
        ({"avx2": True, "avx512f": True, "avx512_vnni": False}, "x86_64", "avx512"),
        ({"avx2": True}, "x86_64", "avx2"),
        ({}, "AMD64", "avx2"),
        ({}, "riscv64", "avx2"),
        ({"asimddp": True}, "aarch64", "arm64"),
        ({}, "arm64", "arm64"),
    ],
)
def test_auto_takes_the_scheme_of_the_hosts_flags(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], machine: str, cpu: Cpu
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert cpu_of(flags) == cpu
    assert scheme_for("auto", flags) == SCHEMES[cpu]


def test_a_named_target_does_not_ask_the_host() -> None:
    assert scheme_for("avx2", {"avx512_vnni": True}).target == "avx2"


def range_of(cpu: Cpu) -> tuple[int, int]:
    """The weights that ONNX Runtime makes for a scheme."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.quant_utils import get_qmin_qmax_for_qType

    scheme = SCHEMES[cpu]
    kind = QuantType.QInt8 if scheme.signed_weights else QuantType.QUInt8
    low, high = get_qmin_qmax_for_qType(kind.tensor_type, reduce_range=scheme.reduce_range, symmetric=False)
    return int(low), int(high)


@pytest.mark.export
@pytest.mark.parametrize("cpu", ["avx2", "avx512"])
def test_no_pair_of_products_saturates_where_they_are_added_in_16_bits(cpu: Cpu) -> None:
    low, high = range_of(cpu)
    activations = np.arange(256)[:, None] * np.array([low, high])
    extremes = [int(activations.min()) * 2, int(activations.max()) * 2]
    assert INT16.min <= extremes[0]
    assert extremes[1] <= INT16.max


@pytest.mark.export
@given(
    activations=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    weights=st.tuples(st.integers(-64, 64), st.integers(-64, 64)),
)
def test_the_sum_of_two_products_of_7_bit_weights_is_exact_in_16_bits(
    activations: tuple[int, int], weights: tuple[int, int]
) -> None:
    assert range_of("avx2") == (-64, 64)
    exact = activations[0] * weights[0] + activations[1] * weights[1]
    assert int(np.clip(exact, INT16.min, INT16.max)) == exact


@pytest.mark.export
def test_8_bit_weights_would_saturate_and_are_kept_for_cpus_that_add_in_32_bits() -> None:
    low, high = range_of("avx512_vnni")
    assert (low, high) == (-128, 127)
    assert 2 * 255 * high > INT16.max
    assert {cpu for cpu in get_args(Cpu) if range_of(cpu) == (-128, 127)} == {"avx512_vnni", "arm64"}


def test_convolutions_are_left_in_float() -> None:
    assert "MatMul" in DYNAMIC_OPERATORS
    assert "Conv" not in DYNAMIC_OPERATORS


def test_tensorrt_and_openvino_are_not_quantized_dynamically() -> None:
    for target in ("tensorrt", "openvino"):
        with pytest.raises(InputError, match=rf"target {target} takes static INT8 alone, .*add `calibration: {{}}`"):
            check_dynamic(SCHEMES[target])
    for cpu in get_args(Cpu):
        check_dynamic(SCHEMES[cpu])


def test_what_is_made_for_another_machine_says_that_its_speed_here_is_not_its_own(tmp_path: Path) -> None:
    assert {target for target in SCHEMES if runs_elsewhere(target)} == {"tensorrt", "openvino"}
    assert not runs_elsewhere("auto")
    graph = Artifact(tmp_path, "onnx", {"target": "tensorrt"})
    assert target_remarks(graph) == (
        "made for tensorrt, and measured here in ONNX Runtime on the CPU: its answers count, its speed says nothing of "
        "tensorrt",
    )
    there = {"target": "tensorrt", "runtime": "onnxruntime:TensorrtExecutionProvider"}
    for other in (
        Artifact(tmp_path, "torch", {"target": "tensorrt"}),
        Artifact(tmp_path, "onnx", there),
        Artifact(tmp_path, "onnx", {"target": "avx2"}),
        Artifact(tmp_path, "onnx"),
    ):
        assert target_remarks(other) == ()


def test_weights_are_signed_and_every_scheme_says_why() -> None:
    for name, scheme in SCHEMES.items():
        assert scheme.target == name
        assert scheme.signed_weights
        assert scheme.reason
    tensorrt = SCHEMES["tensorrt"]
    assert tensorrt.signed_activations
    assert tensorrt.symmetric_activations
    assert not tensorrt.integer_biases
