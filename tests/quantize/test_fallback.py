"""Which layers return to floating point, in which order, and what is said when that is not enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.artifact import Artifact
from hfcompress.errors import StageError
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.operators import integer_operator_count, operator_counts
from hfcompress.onnx_graph.side_by_side import quantized_layers
from hfcompress.pipeline.judge import RecipeJudge
from hfcompress.progress import SILENT
from hfcompress.quantize import ranking
from hfcompress.quantize.fallback import fall_back
from hfcompress.quantize.quantizer import Quantizer, quantizer_for
from hfcompress.quantize.ranking import Ranking, model_error
from hfcompress.quantize.stage import quantize
from hfcompress.quantize.targets import SCHEMES
from hfcompress.recipe.data import BenchmarkConfig, StreamConfig
from hfcompress.recipe.quantization import Calibration, Fallback
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.results import FallbackResult
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.stage import Inputs, Judge, Run
from tests.quantize.outliers import SIDE, layer, rows_of, save_network

pytestmark = pytest.mark.export
BENCHMARK = BenchmarkConfig(threads=1, stream=StreamConfig(rows=32, passes=3))


class Untimed(RecipeJudge):
    """A judge whose clock stands still: a session starts processes, and one test of it is enough."""

    def time(self, artifacts: Any) -> dict[str, list[float]]:
        return {name: [1.0, 1.0, 1.0] for name in artifacts}


class Network:
    """A network with ruinous layers, its rows, and its quantizer."""

    def __init__(self, folder: Path, ruinous: set[int], kind: str = "dynamic", judge: type = Untimed) -> None:
        self.source = Artifact(save_network(folder / "float", ruinous=ruinous), "onnx")
        self.judge: Judge = judge(rows_of(self.source.path), "validation", ("accuracy",), BENCHMARK, 0)
        self.kind, self.folder, self.said = kind, folder, []  # type: ignore[var-annotated]
        self.run = self.new_run()

    def new_run(self) -> Run:
        folders = [self.folder / name for name in ("out", "work")]
        for path in folders:
            path.mkdir()
        return Run("int8", self.judge.data, 0, *folders, progress=self, judge=self.judge)  # type: ignore[attr-defined,arg-type]

    def say(self, line: str) -> None:
        self.said.append(line)

    def bar(self, description: str, total: int) -> Any:
        return SILENT.bar(description, total)

    @cached_property
    def quantize(self) -> Quantizer:
        config = QuantizeConfig(per_channel=False, calibration=Calibration() if self.kind == "static" else None)
        rng = np.random.default_rng(2)
        rows = {"pixel_values": rng.uniform(-1, 1, size=(64, 3, SIDE, SIDE)).astype(np.float32)}
        return quantizer_for(config, self.source.path, SCHEMES["avx2"], lambda: iter([rows]))

    def fall_back(self, max_drop: float = 0.1, max_layers: int | None = None) -> FallbackResult:
        budget = Fallback(max_drop={"accuracy": max_drop}, max_layers=max_layers)
        floating = Artifact(self.quantize.floating(self.folder / "floating"), "onnx")
        return fall_back(budget, floating, self.quantize, self.run)

    def drop_with(self, returned: Sequence[str]) -> float:
        """What accuracy loses with these layers in floating point."""
        out = self.folder / f"drop-{len(list(self.folder.iterdir()))}"
        out.mkdir()
        self.quantize(out, returned)
        reference = self.judge.score(self.source)
        return -self.judge.score(Artifact(out, "onnx"), reference).difference["accuracy"].value

    def ranking(self) -> Ranking:
        out = self.folder / "all"
        out.mkdir()
        self.quantize(out, ())
        return Ranking(self.source, Artifact(out, "onnx"), self.quantize, self.judge.sampled(100), self.run.work)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_the_one_ruinous_layer_is_first_by_both_rankings_and_is_all_that_returns(tmp_path: Path, kind: str) -> None:
    network = Network(tmp_path, {2}, kind)
    found = network.fall_back()
    assert found.returned == (layer(2),)
    assert [step.returned for step in found.steps] == [(), (layer(2),)]
    for measure in ("output_error", "cost"):
        assert max(found.ranking, key=lambda one: getattr(one, measure)).layer == layer(2)
    assert found.ranking[0].difference["accuracy"].value < -0.5
    assert all(abs(one.difference["accuracy"].value) <= 0.1 for one in found.ranking[1:])
    assert quantized_layers(model_file(network.source.path), model_file(network.run.out)) == [
        layer(number) for number in (0, 1, 3)
    ]


@pytest.mark.parametrize("ruinous", [{1}, {1, 3}])
def test_no_smaller_set_of_layers_would_do(tmp_path: Path, ruinous: set[int]) -> None:
    network = Network(tmp_path, ruinous)
    found = network.fall_back()
    names = [layer(number) for number in range(4)]
    assert network.drop_with(found.returned) <= 0.1
    fewer = [some for count in range(len(found.returned)) for some in combinations(names, count)]
    assert all(network.drop_with(some) > 0.1 for some in fewer)


def test_one_ruinous_layer_hides_behind_another_when_layers_return_one_at_a_time(tmp_path: Path) -> None:
    network = Network(tmp_path, {1, 3})
    assert network.drop_with([layer(1)]) == network.drop_with([layer(3)]) == network.drop_with([])
    measured = network.ranking()
    assert set([*measured.costliest_first()][:2]) == {layer(1), layer(3)}
    assert all(one.difference["accuracy"].value < -0.5 for one in measured.layers[:2])


def test_costs_are_those_of_the_outputs_by_hand(tmp_path: Path) -> None:
    network = Network(tmp_path, {2})
    others = [layer(number) for number in (0, 1, 2)]
    alone = tmp_path / "alone"
    alone.mkdir()
    network.quantize(alone, others)
    (batch,) = network.judge.sampled(32).batches(network.source)
    expected, found = (OnnxRuntime(path, threads=1).predict(batch)["logits"] for path in (network.source.path, alone))
    error = np.square(found.astype(np.float64) - expected).sum() / np.square(expected.astype(np.float64)).sum()
    assert model_error(network.source.path, alone, iter([batch])) == pytest.approx(error)
    assert 0 < error < 0.01


def test_layers_are_measured_one_at_a_time_only_as_far_as_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "GROUP", 2)
    measured = Network(tmp_path, {2}).ranking()
    layers = measured.costliest_first()
    assert next(layers) == layer(2)
    assert [one.cost is None for one in measured.layers] == [False, False, True, True]
    assert sorted([layer(2), *layers]) == [layer(number) for number in range(4)]
    assert all(one.cost is not None for one in measured.layers)


def test_what_returned_for_nothing_is_quantized_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def misleading(self: Ranking) -> Iterator[str]:
        yield from (layer(number) for number in (0, 2, 1, 3))

    monkeypatch.setattr(Ranking, "costliest_first", misleading)
    found = Network(tmp_path, {1}).fall_back()
    assert [len(step.returned) for step in found.steps] == [0, 1, 2, 3, 2, 1]
    assert found.returned == (layer(1),)


def test_within_the_budget_nothing_returns_and_it_is_said(tmp_path: Path) -> None:
    network = Network(tmp_path, set())
    found = network.fall_back()
    assert found.returned == ()
    assert found.ranking == ()
    assert integer_operator_count(model_file(network.run.out)) == 4
    assert network.said == [line for line in network.said if "0 layers in floating point" in line and "within" in line]


def test_more_layers_than_allowed_is_an_error_that_shows_the_best_there_was(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="returned 1 of 4 layers to floating point, which is max_layers") as caught:
        Network(tmp_path, {1, 3}).fall_back(max_layers=1)
    assert "best reached: accuracy -" in str(caught.value)
    assert "raise max_layers or max_drop" in str(caught.value)


def test_the_last_layer_never_returns_since_nothing_would_be_quantized(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="returned 3 of 4 layers to floating point, all but one of the quantized"):
        Network(tmp_path, {0, 1, 2, 3}).fall_back()


def test_nothing_of_what_was_tried_is_left(tmp_path: Path) -> None:
    network = Network(tmp_path, {2})
    network.fall_back()
    assert list(network.run.work.iterdir()) == []
    assert {path.name for path in network.run.out.iterdir()} >= {"model_quantized.onnx", "preprocessor_config.json"}


def test_the_stage_returns_layers_and_times_each_step(tmp_path: Path) -> None:
    network = Network(tmp_path, {1}, judge=RecipeJudge)
    config = QuantizeConfig(target="avx2", per_channel=False, fallback=Fallback(max_drop={"accuracy": 0.05}))
    made = quantize(config, Inputs(network.source), network.run)
    assert made.details is not None
    record = FallbackResult.model_validate(made.details["fallback"])
    assert record.returned == (layer(1),)
    assert all(step.speedup is not None and step.speedup > 0 for step in record.steps)
    assert made.details["integer_operators"] == 3
    assert operator_counts(model_file(network.run.out))["MatMul"] == 1


def test_a_stage_outside_a_recipe_has_nothing_to_search_by(tmp_path: Path) -> None:
    network = Network(tmp_path, {1})
    config = QuantizeConfig(fallback=Fallback(max_drop={"accuracy": 0.05}))
    run = Run("int8", network.run.data, 0, network.run.out, network.run.work)
    with pytest.raises(StageError, match="searches by metrics on validation rows, and got none; run it from a recipe"):
        quantize(config, Inputs(network.source), run)
