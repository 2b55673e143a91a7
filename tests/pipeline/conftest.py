"""A tiny recipe that ran once, for every test that only looks at what a run leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from hfcompress.pipeline.run import run_recipe
from hfcompress.recipe import Recipe, parse_recipe
from hfcompress.results import Results
from tests import tiny


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    recipe: Recipe
    folder: Path
    results: Results


@pytest.fixture(scope="session")
def ran(encoder: Path, reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    gates = [{"artifact": "int8", "max_drop": {"accuracy": 0.5}, "max_size_ratio": 10, "max_p99_ms": 1e6}]
    recipe = parse_recipe(tiny.text_recipe(encoder, reviews, gates=gates))
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return Ran(recipe, folder, run_recipe(recipe, out=folder))
