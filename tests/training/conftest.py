"""The fixtures of these tests; what they are made of is in `toy`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from hfcompress.training.trainer import DistillationTrainer
from tests.training.toy import tiny_trainer

# On a busy machine an example may take longer than hypothesis allows for one.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., DistillationTrainer]:
    def make(**settings: Any) -> DistillationTrainer:
        return tiny_trainer(settings.pop("folder", tmp_path / "work"), **settings)

    return make


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Two threads on models this small wait for each other longer than they compute.
    torch.set_num_threads(1)
