"""What every test shares: an offline machine, one thread, and folders made once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Read when datasets and huggingface_hub are imported, so set before anything else.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hfcompress-tests-")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

import pytest

from hfcompress.extras import is_installed
from tests import int8_graphs, tiny


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `export` need the extra; where it is missing they are skipped, and say so."""
    if is_installed("onnxruntime"):
        return
    for item in items:
        if item.get_closest_marker("export") is not None:
            item.add_marker(pytest.mark.skip(reason="needs hfcompress[onnxruntime]"))


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
