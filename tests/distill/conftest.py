"""A run over tiny reviews, built as the pipeline builds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfcompress.recipe.data import DataConfig
from hfcompress.stage import Run
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.label_columns import labels_of_data
from tests import tiny


@pytest.fixture(scope="session")
def many_reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough rows to learn what is good and bad."""
    return tiny.save_reviews(tmp_path_factory.mktemp("data") / "many", train=384, validation=128, test=16)


@pytest.fixture(scope="session")
def data(many_reviews: Path) -> Data:
    """The splits `train` and `validation` with their labels."""
    splits = {"train": "train", "validation": "validation"}
    rows = load_rows(DataConfig(path=str(many_reviews), splits=splits, max_length=32), "text-classification", 0)
    return Data(get_task("text-classification"), rows, labels_of_data(rows.splits["train"], "labels"), 32)


@pytest.fixture
def make_run(tmp_path: Path, data: Data) -> Callable[..., Run]:
    """A run into folders of its own."""

    def make(name: str, **changes: Any) -> Run:
        folders = {"out": tmp_path / name / "out", "work": tmp_path / name / "work"}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        return Run(**{"name": name, "data": data, "seed": 0, **folders, **changes})

    return make
