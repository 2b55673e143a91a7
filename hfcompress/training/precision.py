"""Which precision a training stage computes in when the recipe does not say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from hfcompress.host import describe_host, has_bf16

Dtype = Literal["bf16", "fp16", "fp32"]


def training_dtype(fields: Mapping[str, Any]) -> Dtype:
    """The autocast dtype: what `training:` asks for, else bf16 where the GPU or the CPU computes in it, else fp32.

    Torch is imported on hosts with a GPU only, so that a cached run on a CPU does not pay for it.
    """
    for name in ("bf16", "fp16"):
        if fields.get(name):
            return "bf16" if name == "bf16" else "fp16"
    if {"bf16", "fp16"} & set(fields):
        return "fp32"
    return "bf16" if _gpu_has_bf16() or (not describe_host().gpus and has_bf16()) else "fp32"


def _gpu_has_bf16() -> bool:
    if not describe_host().gpus:
        return False
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


@contextmanager
def precision_decided(dtype: Dtype) -> Iterator[None]:
    """Make accelerate compute in `dtype`, whatever a launcher or an earlier training said, and forget it afterwards.

    `TrainingArguments` tell accelerate through environment variables what a recipe asks for (precision, compilation),
    which later ones that ask for nothing, and other processes, would follow without a word.
    """
    before = _accelerate_variables()
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no" if dtype == "fp32" else dtype
    try:
        yield
    finally:
        for name in _accelerate_variables().keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _accelerate_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("ACCELERATE_")}
