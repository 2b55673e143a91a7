"""Tiny exported models, once for all tests of INT8."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny

VOCABULARY = 12000
LAYERS = 2


@pytest.fixture(scope="session")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported BERT whose embedding table is most of it, as in small models."""
    from hfcompress.export.optimum import export_with_optimum

    source = tiny.save_bert(tmp_path_factory.mktemp("source"), layers=LAYERS, head=True, vocab_size=VOCABULARY)
    out = tmp_path_factory.mktemp("fp32")
    export_with_optimum(source, out, "text-classification", None)
    return out


@pytest.fixture(scope="session", params=["basic", "bottleneck"])
def resnet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported ResNet of either kind of layer, its batch-norms fed with some images."""
    from hfcompress.export.optimum import export_with_optimum

    source = tiny.save_resnet(tmp_path_factory.mktemp("source"), request.param)
    out = tmp_path_factory.mktemp("resnet")
    export_with_optimum(source, out, "image-classification", None)
    return out
