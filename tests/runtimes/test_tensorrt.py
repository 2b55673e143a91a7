"""TensorRT of this machine, and the sizes that an engine takes."""

from __future__ import annotations

import json
from importlib import metadata
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


def test_a_machine_is_named_by_its_gpu_and_the_version_of_tensorrt() -> None:
    assert Machine("NVIDIA GeForce RTX 4090", "10.9.0.34").key == "nvidia-geforce-rtx-4090-trt10.9.0.34"
    keys = {Machine(gpu, version).key for gpu in ("NVIDIA L4", "NVIDIA L40") for version in ("10.9.0", "10.13.0")}
    assert len(keys) == 4


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
    monkeypatch.setattr(tensorrt, "_gpus", lambda: ["NVIDIA L4"])
    monkeypatch.setattr(tensorrt, "tensorrt_version", lambda: "10.9.0")
    assert this_machine() == Machine("NVIDIA L4", "10.9.0")
    with pytest.raises(ProviderError, match="no GPU 1 that nvidia-smi knows"):
        this_machine(1)


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
