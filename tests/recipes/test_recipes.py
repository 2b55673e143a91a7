"""Every recipe of the repository loads, and runs with a tiny random model and a few rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfcompress.pipeline.run import run_recipe
from hfcompress.recipe import Recipe, load_recipe
from tests import tiny

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
#: The tiny stand-in has as many layers as the recipe's model, so that `keep_layers` means the same.
LAYERS = {"sentiment-demo": 6, "sentiment-full": 6, "distilbert-sst2": 12, "distilbert-pretraining": 12}
#: Stand-ins of other kinds: ResNets, of the recipe's kind of block.
RESNETS = {"image-demo": "basic", "resnet50-imagenet": "bottleneck"}
#: Columns of the tiny data by task, and who writes it.
DATA: dict[str, tuple[str, Callable[..., Path]]] = {
    "text-classification": ("{text: text, label: label}", tiny.save_reviews),
    "masked-lm": ("{text: text}", tiny.save_lines),
    "image-classification": ("{image: image, label: label}", tiny.save_digits),
}


def shrunk(path: Path, model: Path, data: Path) -> Recipe:
    """The recipe itself with another model and data, one epoch, and a short benchmark."""
    recipe = load_recipe(path)
    overrides = [
        f"model={model}",
        f"data.path={data}",
        "data.subset=null",
        "data.unlabeled=null",
        f"data.columns={DATA[recipe.task][0]}",
        "data.limit={}",
        "benchmark={batch: [1], sequence: [8], threads: 1, repeats: 5, warmup: 1, stream: {rows: 16, passes: 3}}",
        "gates=[]",
    ]
    for name, stage in recipe.stages.items():
        if stage.config.trains:
            overrides.append(f"stages.{name}.{stage.verb}.training.num_train_epochs=1")
        if stage.quantize is not None:
            overrides.append(f"stages.{name}.quantize.allow_slower=true")
    return load_recipe(path, overrides)


def stand_in(name: str, recipe: Recipe, folder: Path) -> Path:
    """A tiny random model in place of the recipe's, with a head where the recipe measures it."""
    if name in RESNETS:
        return tiny.save_resnet(folder, RESNETS[name])
    head = False if recipe.baseline_name in recipe.stages else recipe.task
    return tiny.save_bert(folder, layers=LAYERS[name], head=head)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipe_says_in_its_header_what_it_needs_and_how_to_run_it(path: Path) -> None:
    header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert any(line.startswith("# Needs:") for line in header)
    assert any(line.startswith("# Run:") for line in header)
    assert load_recipe(path).name == path.stem


#: These take minutes together; what is special about them is the Hub and the size. What the demo with images does after
#: training, `resnet50-imagenet` does too.
SLOW = ("distilbert-sst2", "distilbert-pretraining", "image-demo")


@pytest.mark.export
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow if path.stem in SLOW else (), id=path.stem) for path in RECIPES],
)
def test_the_recipe_runs_with_a_tiny_random_model(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    model = stand_in(path.stem, recipe, tmp_path / "model")
    data = DATA[recipe.task][1](tmp_path / "data", train=64, validation=32, test=32)
    recipe = shrunk(path, model, data)
    results: Any = run_recipe(recipe, out=tmp_path / "run")
    assert {artifact.name for artifact in results.artifacts} - {"source"} == {*recipe.stages} - {"source"}
    if "student" in recipe.stages:
        assert results.artifact("student").parameters < results.artifact(recipe.baseline_name).parameters
    if "tensorrt" in recipe.stages:
        assert results.artifact("tensorrt").remarks[-1].startswith("made for tensorrt, and measured here")
