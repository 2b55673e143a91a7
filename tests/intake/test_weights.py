"""Headers of safetensors, against the reference implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hfcompress.errors import UnsafeError
from hfcompress.intake.weights import check_safetensors, check_weights

TYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16)
TYPES += (torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2)


def test_what_the_reference_writes_passes_and_its_elements_are_counted(tmp_path: Path) -> None:
    tensors = {str(dtype): torch.zeros(3, 5).to(dtype) for dtype in TYPES} | {"none": torch.zeros(0, 4)}
    (tmp_path / "model.safetensors").write_bytes(save(tensors, {"format": "pt"}))
    assert check_safetensors(tmp_path / "model.safetensors") == 15 * len(TYPES)
    (tmp_path / "more.safetensors").write_bytes(save({"scalar": torch.tensor(1.0)}))
    assert check_weights(tmp_path) == 15 * len(TYPES) + 1


WHOLE = save({"first": torch.ones(4, 4), "second": torch.ones(3)}, {"format": "pt"})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(WHOLE) - 1), new=st.binary(min_size=0, max_size=4), cut=st.integers(0, 3))
def test_what_the_reference_refuses_is_refused(tmp_path: Path, place: int, new: bytes, cut: int) -> None:
    path = tmp_path / "changed.safetensors"
    path.write_bytes(WHOLE[:place] + new + WHOLE[place + cut :])
    try:
        with safe_open(path, framework="np") as file:
            theirs = sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError):
        with pytest.raises(UnsafeError):
            check_safetensors(path)
        return
    try:
        found = check_safetensors(path)
    except UnsafeError:  # ours may refuse more, such as a key that is there twice, but not the file itself
        assert path.read_bytes() != WHOLE
        return
    assert found == theirs
