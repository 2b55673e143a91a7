"""What is said of an artifact on its target, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.errors import StageError
from hfcompress.quantize import simulation
from hfcompress.quantize.simulation import Simulation, check_target, saturation_here, simulate_cpu
from hfcompress.quantize.targets import Cpu
from hfcompress.recipe.data import DataConfig
from hfcompress.runtimes.load import load
from hfcompress.stage import Run
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from tests import int8_graphs, tiny

pytestmark = pytest.mark.export
LABELS = tiny.classes("negative", "positive")


@pytest.fixture(scope="module")
def eight_bits(saturating: dict[str, Path]) -> Path:
    return saturating["int8"]


@pytest.fixture(scope="module")
def seven_bits(saturating: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return int8_graphs.quantize_dynamically(saturating["fp32"], tmp_path_factory.mktemp("seven") / "int7", "avx2")


@pytest.fixture
def run(tmp_path: Path, reviews: Path) -> Run:
    rows = load_rows(DataConfig(path=str(reviews)), "text-classification", 0)
    return Run("int8", Data(get_task("text-classification"), rows, LABELS, 32), 0, tmp_path, tmp_path)


def be(cpu: Cpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """This host is of another kind."""
    monkeypatch.setattr(simulation, "cpu_of", lambda flags: cpu)


def test_8_bit_weights_that_answer_otherwise_on_their_target_are_refused_with_the_remedy(
    eight_bits: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    be("avx512_vnni", monkeypatch)
    with pytest.raises(StageError, match=r"int8: on avx2 .*% of 32 predictions are those of exact.*`reduce_range`"):
        check_target(eight_bits, "avx2", run)


def test_7_bit_weights_are_safe_without_simulating(
    seven_bits: Path, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    be("avx512_vnni", monkeypatch)
    monkeypatch.setattr(simulation, "simulate_cpu", lambda *_: pytest.fail("nothing to simulate"))
    with caplog.at_level(logging.INFO):
        assert check_target(seven_bits, "avx2", run) == {"simulated": {"cpu": "avx2", "saturable": 0}}
    assert "int8: no weights can saturate: avx2 and every other CPU give the same integers" in caplog.text


def test_an_artifact_for_vnni_is_simulated_on_a_host_without_it(
    eight_bits: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    be("avx2", monkeypatch)
    found = check_target(eight_bits, "avx512_vnni", run)["simulated"]
    assert (found["cpu"], found["rows"], found["agreement"]) == ("avx512_vnni", 32, 1.0)
    assert found["saturable"] > 0
    assert found["metrics"] == found["exact"]


@pytest.mark.parametrize("cpu", ["avx512_vnni", "arm64", "tensorrt"])
def test_targets_that_give_this_hosts_integers_or_have_rules_of_their_own_are_not_simulated(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: str
) -> None:
    be("avx512_vnni", monkeypatch)
    assert check_target(tmp_path / "absent", cpu, run) == {}


def test_agreement_and_metrics_are_those_of_the_two_arithmetics(eight_bits: Path, run: Run) -> None:
    found = simulate_cpu(eight_bits, "avx2", run.data, "validation", rows=20)
    rows = np.sort(np.random.default_rng(0).permutation(32)[:20])
    texts = [run.data.rows.splits["validation"]["text"][int(row)] for row in rows]
    labels = np.array([run.data.rows.splits["validation"]["label"][int(row)] for row in rows])
    saturated, exact = (
        # One by one: activations are quantized over a batch, whose rows are sorted by length here.
        np.array(_in_length_order(load(eight_bits, runtime=f"simulated:{cpu}"), texts))
        for cpu in ("avx2", "avx512_vnni")
    )
    assert found.rows == 20
    assert found.agreement == np.mean(saturated == exact) < 1
    assert found.metrics["accuracy"] == pytest.approx(np.mean(saturated == labels))
    assert found.exact["accuracy"] == pytest.approx(np.mean(exact == labels))
    assert not found.safe


def _in_length_order(model: Any, texts: list[str]) -> list[str]:
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index].split()))
    answers = model.classify([texts[index] for index in order])
    return [answers[order.index(index)] for index in range(len(texts))]


def test_a_host_without_vnni_says_which_artifacts_saturate_on_it(
    eight_bits: Path, seven_bits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be("avx2", monkeypatch)
    assert saturation_here(seven_bits) is None
    found = saturation_here(eight_bits)
    assert found is not None
    assert "int8: 8-bit weights of 8 products can saturate on this CPU (avx2)" in found
    be("avx512_vnni", monkeypatch)
    assert saturation_here(eight_bits) is None


def test_two_of_256_predictions_may_differ() -> None:
    assert Simulation("avx2", 256, {}, 254 / 256, {}, {}).safe
    assert not Simulation("avx2", 256, {}, 253 / 256, {}, {}).safe
