"""TensorRT of this machine, and the sizes that an engine takes."""

from __future__ import annotations

import json
from importlib import metadata
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hfcompress.errors import InputError, ProviderError
from hfcompress.runtimes import tensorrt
from hfcompress.runtimes.tensorrt import Machine, check_profile, provider_options, stored_options, this_machine

OPTIONS = {
    "trt_profile_min_shapes": "input_ids:1x5,attention_mask:1x5",
    "trt_profile_opt_shapes": "input_ids:8x27,attention_mask:8x27",
    "trt_profile_max_shapes": "input_ids:8x64,attention_mask:8x64",
}


@pytest.mark.parametrize("rows, tokens", [(1, 5), (8, 64), (3, 17)])
def test_sizes_within_the_profile_are_taken(rows: int, tokens: int) -> None:
    check_profile(OPTIONS, {"input_ids": np.zeros((rows, tokens)), "other": np.zeros(3)})


@pytest.mark.parametrize("sizes", [(9, 20), (1, 65), (1, 4), (8,)])
def test_other_sizes_are_refused_with_the_bounds_before_tensorrt_would_build_again(sizes: tuple[int, ...]) -> None:
    given = "x".join(map(str, sizes))
    with pytest.raises(InputError, match=f"`input_ids` has the sizes {given}, and the engine is built for 1x5 to 8x64"):
        check_profile(OPTIONS, {"input_ids": np.zeros(sizes)})


def test_without_profiles_every_size_is_taken() -> None:
    check_profile({}, {"input_ids": np.zeros((100, 512))})


def test_a_machine_is_named_by_its_gpu_and_the_versions_of_tensorrt_and_onnx_runtime() -> None:
    machine = Machine("NVIDIA GeForce RTX 4090", "10.9.0.34", "1.31.1")
    assert machine.key == "nvidia-geforce-rtx-4090-trt10.9.0.34-ort1.31.1"
    named = product(("NVIDIA L4", "NVIDIA L40"), ("10.9.0", "10.13.0"), ("1.31.1", "1.32.0"))
    assert len({Machine(*each).key for each in named}) == 8


def test_the_version_is_that_of_the_package_or_of_the_library_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "tensorrt-cu12" and installed:
            return "10.9.0.34"
        raise metadata.PackageNotFoundError(name)

    def library(name: str) -> Any:
        if name != "libnvinfer.so.10":
            raise OSError(name)
        return SimpleNamespace(getInferLibVersion=lambda: 101303)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(tensorrt.ctypes, "CDLL", library)
    installed = True
    assert tensorrt.tensorrt_version() == "10.9.0.34"
    installed = False
    assert tensorrt.tensorrt_version() == "10.13.3"


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def name_of(name: Any, size: int, device: Any) -> int:
        name.value = [b"NVIDIA L4", b"NVIDIA T4"][device.value]
        return 0

    def get(found: Any, device: int) -> int:
        found._obj.value = device
        return 0 if device < 2 else 101  # CUDA_ERROR_INVALID_DEVICE

    driver = SimpleNamespace(cuInit=lambda flags: 0, cuDeviceGet=get, cuDeviceGetName=name_of)
    monkeypatch.setattr(tensorrt.ctypes, "CDLL", lambda name: driver)
    monkeypatch.setattr(tensorrt, "tensorrt_version", lambda: "10.9.0")
    monkeypatch.setattr(tensorrt, "onnxruntime_version", lambda: "1.31.1")
    assert this_machine(1) == Machine("NVIDIA T4", "10.9.0", "1.31.1")
    with pytest.raises(ProviderError, match="no GPU 2 that CUDA's driver knows"):
        this_machine(2)
    driver.cuInit = lambda flags: 100  # CUDA_ERROR_NO_DEVICE
    with pytest.raises(ProviderError, match="no GPU 0 that CUDA's driver knows"):
        this_machine()


def test_options_are_those_of_the_manifest_and_other_folders_have_none(tmp_path: Path) -> None:
    assert stored_options(tmp_path) is None
    with pytest.raises(InputError, match="has no engine; give the artifact of an `engine` stage"):
        provider_options(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"details": {"provider_options": {"trt_fp16_enable": 1}}}))
    assert stored_options(tmp_path) == {"trt_fp16_enable": "1"}


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tensorrt.cache_folder() == tmp_path / "hfcompress"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tensorrt.cache_folder() == tmp_path / ".cache" / "hfcompress"
