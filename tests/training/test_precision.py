"""The precision of a training is its own: neither a launcher's nor an earlier one's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hfcompress.training.arguments import DistillationArguments
from hfcompress.training.precision import precision_decided, training_dtype

NAME = "ACCELERATE_MIXED_PRECISION"


@pytest.mark.parametrize("before", [None, "bf16"])
def test_what_arguments_leave_behind_is_gone_after_the_stage(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is None:
        monkeypatch.delenv(NAME, raising=False)
    else:
        monkeypatch.setenv(NAME, before)
    with precision_decided("bf16"):
        DistillationArguments(output_dir=str(tmp_path), use_cpu=True, bf16=True)
        assert os.environ[NAME] == "bf16"
    assert os.environ.get(NAME) == before
    with precision_decided("fp32"):
        DistillationArguments(output_dir=str(tmp_path), use_cpu=True)
        assert os.environ[NAME] == "no"


def test_what_the_recipe_says_goes_before_what_the_host_can() -> None:
    assert training_dtype({"bf16": False}) == "fp32"
    assert training_dtype({"bf16": True}) == "bf16"
    assert training_dtype({"fp16": True}) == "fp16"
