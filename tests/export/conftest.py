"""Tiny models exported once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(scope="session")
def exported(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny classifier as ONNX."""
    from hfcompress.export.optimum import export_with_optimum

    out = tmp_path_factory.mktemp("exported")
    export_with_optimum(classifier, out, "text-classification", None)
    return out


@pytest.fixture(scope="session")
def model_of(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A torch folder with its task's head: `bert`, `distilbert` or `vit`."""

    def model_of(family: str) -> Path:
        from hfcompress.distill.student import to_distilbert
        from hfcompress.models.loading import load_model, save_model

        if family == "bert":
            return classifier
        folder = tmp_path_factory.mktemp(family)
        if family == "distilbert":
            bert = load_model(classifier, "text-classification")
            save_model(to_distilbert(bert), tiny.make_tokenizer(), folder)
        else:
            encoder = tiny.save_vit(tmp_path_factory.mktemp("encoder"))
            names = tuple(map(str, range(10)))
            model = load_model(encoder, "image-classification", labels=tiny.classes(*names))
            from hfcompress.tasks import get_task

            save_model(model, get_task("image-classification").load_processor(encoder), folder)
        return folder

    return model_of


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two threads on models this small wait for each other longer than they compute.
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0}, raising=False)
