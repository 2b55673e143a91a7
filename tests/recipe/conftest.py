from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hfcompress.errors import RecipeError
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.yaml_text import read_yaml

#: The recipe of the design document.
EXAMPLE = """\
name: sentiment-demo
task: text-classification
model: .demo/minilm              # a local folder or a Hub id
data:
  path: .demo/reviews
  columns: {text: text, label: label}
  splits: {train: train, validation: validation, test: test}
  limit: {train: 5000}
  max_length: 128
evaluate: {metrics: [accuracy], gates_on: validation, report_on: test}
baseline: teacher
seed: 0
stages:
  teacher: {finetune: {training: {num_train_epochs: 2, learning_rate: 1e-4}}}
  student:
    from: teacher
    distill:
      teacher: [teacher]
      student: {keep_layers: [0, 2, 4]}
      temperature: 2
      kl_weight: 0.9
      label_weight: 0.1
      training: {num_train_epochs: 3, learning_rate: 2e-4}
  onnx: {export: {}}
  int8: {quantize: {per_channel: true}}
benchmark: {batch: [1, 32], sequence: [16, 64], threads: 2, repeats: 30}
gates:
  - {artifact: int8, against: teacher, max_drop: {accuracy: 0.03}, min_speedup: 3}
"""


@pytest.fixture
def example_text() -> str:
    return EXAMPLE


@pytest.fixture
def example() -> dict[str, Any]:
    """The design's recipe as plain data, for a test to break."""
    raw: dict[str, Any] = read_yaml(EXAMPLE)
    return raw


@pytest.fixture
def faults() -> Callable[[Any], list[str]]:
    """The lines of the error that a bad recipe gets, without the heading."""

    def lines(source: Any) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            parse_recipe(source, origin="x.yaml")
        heading, *found = str(caught.value).split("\n  ")
        assert heading == "x.yaml is not a valid recipe:"
        return found

    return lines
