"""What every test shares: an offline machine, one thread, and folders made once."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Read when datasets and huggingface_hub are imported, so set before anything else.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hfcompress-tests-")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

import pytest

from hfcompress.extras import is_installed
from hfcompress.recipe.data import DataConfig
from hfcompress.stage import Run
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.label_columns import labels_of_data
from tests import int8_graphs, tiny, warm_workers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a test needs and this machine lacks: the test is skipped, and says so.

    With HFCOMPRESS_REQUIRE_BROWSER those that need a browser are not skipped: they fail.
    """
    missing = {}
    if not is_installed("onnxruntime"):
        missing["export"] = "needs hfcompress[onnxruntime]"
    if not _has_browser() and not os.environ.get("HFCOMPRESS_REQUIRE_BROWSER"):
        missing["browser"] = "needs playwright, and Chromium on the PATH or in the variable CHROMIUM"
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker) is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


def _has_browser() -> bool:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    return found is not None and importlib.util.find_spec("playwright") is not None


@pytest.fixture(scope="session", autouse=True)
def _workers_are_warm() -> None:
    """Everywhere but in tests of workers."""
    warm_workers.install()


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT encoder without a head."""
    return tiny.save_bert(tmp_path_factory.mktemp("models") / "encoder")


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with a head for negative and positive."""
    return tiny.save_bert(tmp_path_factory.mktemp("models") / "classifier", head=True)


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny reviews as csv files."""
    return tiny.save_reviews(tmp_path_factory.mktemp("data") / "reviews")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits as a saved dataset of images."""
    return tiny.save_digits(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ViT encoder without a head."""
    return tiny.save_vit(tmp_path_factory.mktemp("models") / "vit")


@pytest.fixture(scope="session")
def saturating(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A BERT whose weights are all at the ends of their range: `fp32` and, dynamically quantized, `int8`."""
    root = tmp_path_factory.mktemp("saturating")
    fp32 = int8_graphs.export_bert(root, extreme=True)
    return {"fp32": fp32, "int8": int8_graphs.quantize_dynamically(fp32, root / "int8", "avx512_vnni")}


@pytest.fixture(scope="session")
def many_reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough rows to learn what is good and bad."""
    return tiny.save_reviews(tmp_path_factory.mktemp("data") / "many", train=384, validation=128, test=16)


@pytest.fixture(scope="session")
def data(many_reviews: Path) -> Data:
    """The splits `train` and `validation` of `many_reviews` with their labels."""
    splits = {"train": "train", "validation": "validation"}
    rows = load_rows(DataConfig(path=str(many_reviews), splits=splits, max_length=32), "text-classification", 0)
    return Data(get_task("text-classification"), rows, labels_of_data(rows.splits["train"], "labels"), 32)


@pytest.fixture
def make_run(tmp_path: Path, data: Data) -> Callable[..., Run]:
    """A run of one stage over `data`, as the pipeline builds it, into folders of its own."""

    def make(name: str, **changes: Any) -> Run:
        folders = {"out": tmp_path / name / "out", "work": tmp_path / name / "work"}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        return Run(**{"name": name, "data": data, "seed": 0, **folders, **changes})

    return make
