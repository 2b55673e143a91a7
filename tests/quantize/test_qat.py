"""The stage `qat`, run as the pipeline runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from hfcompress.artifact import Artifact
from hfcompress.benchmark.size import parameters
from hfcompress.distill.stage import finetune
from hfcompress.errors import InputError
from hfcompress.models.fake_quant import TensorScheme, is_fake_quantized
from hfcompress.models.loading import load_model
from hfcompress.quantize import qat as stage
from hfcompress.quantize.qat import CalibrationRows, qat, quant_scheme
from hfcompress.quantize.targets import SCHEMES
from hfcompress.recipe.training_stages import FinetuneConfig, QatConfig
from hfcompress.stage import Inputs, Run
from hfcompress.tasks.data import Data
from hfcompress.training.losses import soft_target_kl
from tests.answers import answers


class PowerCutError(Exception):
    """Stands for a kill: nothing of ours catches it."""


class PowerCut:
    """A `Progress` that cuts the power after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[PowerCut]:
        yield self

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.left -= steps
        if self.left < 0:
            raise PowerCutError

    def say(self, line: str) -> None:
        pass


MakeRun = Callable[..., Run]
TASK = "text-classification"
TRAINING: dict[str, Any] = {"per_device_train_batch_size": 16, "bf16": False, "learning_rate": 1e-4, "max_steps": 12}


@pytest.fixture(scope="module")
def source(encoder: Path, data: Data, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A classifier that tells good from bad."""
    folders = {name: tmp_path_factory.mktemp(f"source-{name}") for name in ("out", "work")}
    training = {**TRAINING, "learning_rate": 2e-3, "max_steps": 96, "save_strategy": "no"}
    return finetune(FinetuneConfig(training=training), Inputs(Artifact(encoder, "torch")), Run("s", data, 0, **folders))


def test_the_artifact_rounds_and_answers_like_its_source(source: Artifact, data: Data, make_run: MakeRun) -> None:
    made = qat(QatConfig(training=TRAINING), Inputs(source, (source,)), make_run("aware"))
    model = load_model(made.path, TASK)
    assert is_fake_quantized(model)
    assert made.details is not None
    assert made.details["steps"] == 12
    linears = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert linears <= set(made.details["fake_quantized"])
    theirs, labels = answers(source.path, data)
    ours, _ = answers(made.path, data)
    assert not np.array_equal(ours, theirs)
    assert (ours.argmax(-1) == labels).mean() > 0.95
    assert (ours.argmax(-1) == theirs.argmax(-1)).mean() > 0.98


def test_training_brings_it_back_to_what_it_was_in_floating_point(
    source: Artifact, data: Data, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of 3 bits, where rounding shows; its own weights in floating point are the teacher."""
    coarse = TensorScheme(signed=True, symmetric=True, per_channel=True, bits=3)
    monkeypatch.setattr(stage, "quant_scheme", lambda *given: replace(quant_scheme(*given), weights=coarse))
    theirs, _ = answers(source.path, data)
    apart = []
    for name, rate in (("rounded", 0.0), ("trained", 2e-4)):
        training = {**TRAINING, "learning_rate": rate, "max_steps": 24}
        config = QatConfig(kl_weight=1, label_weight=0, training=training)
        ours, _ = answers(qat(config, Inputs(source, (source,)), make_run(name)).path, data)
        apart.append(soft_target_kl(torch.tensor(ours), torch.tensor(theirs), 2.0).mean().item())
    assert apart[1] < apart[0] / 2


@pytest.mark.parametrize("scales", ["learned", "moving_average"])
def test_a_stage_that_was_cut_off_goes_on_and_ends_bit_equal(source: Artifact, make_run: MakeRun, scales: Any) -> None:
    config = QatConfig(
        scales=scales,
        freeze_after=0.5,
        training={**TRAINING, "save_strategy": "steps", "save_steps": 4, "logging_steps": 4},
    )
    inputs = Inputs(source, (source,))
    whole = qat(config, inputs, make_run("whole"))
    with pytest.raises(PowerCutError):
        qat(config, inputs, make_run("cut", progress=PowerCut(after=9)))
    run = make_run("cut")
    assert (run.work / "checkpoint-8").is_dir()
    resumed = qat(config, inputs, run)
    names = sorted(path.name for path in whole.path.iterdir())
    assert sorted(path.name for path in resumed.path.iterdir()) == names
    for name in names:
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert resumed.details == whole.details


def rows_of(data: Data, source: Artifact, samples: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    return list(
        CalibrationRows(load_model(source.path, TASK), data, data.task.load_processor(source.path), samples, seed)
    )


def test_calibration_takes_as_many_rows_as_asked_by_seed_longest_first(source: Artifact, data: Data) -> None:
    batches = rows_of(data, source, 70)
    assert [len(batch["input_ids"]) for batch in batches] == [8] * 8 + [6]
    lengths = [int(length) for batch in batches for length in batch["attention_mask"].sum(1)]
    assert lengths == sorted(lengths, reverse=True)
    assert all(set(batch) <= {"input_ids", "attention_mask", "token_type_ids"} for batch in batches)

    def text(batches: list[dict[str, torch.Tensor]]) -> list[list[int]]:
        return [row for batch in batches for row in batch["input_ids"].tolist()]

    assert text(batches) == text(rows_of(data, source, 70))
    assert text(batches) != text(rows_of(data, source, 70, seed=1))
    assert sum(len(batch["input_ids"]) for batch in rows_of(data, source, 10_000)) == 384


def test_no_rows_to_calibrate_on_is_an_error(source: Artifact, data: Data, make_run: MakeRun) -> None:
    empty = replace(data, rows=replace(data.rows, splits={"train": data.rows.splits["train"].select([])}))
    with pytest.raises(InputError, match="no rows to calibrate on"):
        qat(QatConfig(training=TRAINING), Inputs(source), make_run("empty", data=empty))


def test_a_module_without_a_twin_is_named_with_the_way_out(
    source: Artifact, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_another(*args: Any, **options: Any) -> Any:
        model = load_model(*args, **options)
        model.extra = nn.Conv1d(4, 4, 3)
        return model

    monkeypatch.setattr(stage, "load_model", with_another)
    with pytest.raises(InputError, match=r"extra \(Conv1d\).*skip: \['extra'\]"):
        qat(QatConfig(kl_weight=0, label_weight=1, training=TRAINING), Inputs(source), make_run("no-twin"))


def test_a_model_that_rounds_already_is_refused(source: Artifact, make_run: MakeRun) -> None:
    config = QatConfig(training={**TRAINING, "max_steps": 1})
    once = qat(config, Inputs(source, (source,)), make_run("once"))
    with pytest.raises(InputError, match="fake-quantized already; give the floating point model"):
        qat(config, Inputs(once, (source,)), make_run("twice"))


def test_layers_that_are_skipped_stay_in_floating_point(source: Artifact, make_run: MakeRun) -> None:
    config = QatConfig(skip=("classifier", "*.key"), training={**TRAINING, "max_steps": 1})
    made = qat(config, Inputs(source, (source,)), make_run("skipping"))
    assert made.details is not None
    named = made.details["fake_quantized"]
    assert "bert.encoder.layer.0.attention.self.query" in named
    assert not [name for name in named if name == "classifier" or name.endswith(".key")]
    weights = load_file(made.path / "model.safetensors")
    assert not [name for name in weights if name.startswith("classifier.") and "quantizer" in name]
    assert parameters(made) == parameters(source), "scales are no parameters of the model"


@pytest.mark.parametrize(("target", "bits"), [("avx2", 7), ("avx512_vnni", 8)])
def test_a_target_whose_products_saturate_gets_weights_of_7_bits(target: Any, bits: int) -> None:
    scheme = quant_scheme(QatConfig(target=target, per_channel=False, scales="moving_average"), SCHEMES[target])
    assert scheme.weights == TensorScheme(signed=True, symmetric=True, per_channel=False, bits=bits)
    assert (scheme.activations.signed, scheme.activations.bits, scheme.learned) == (False, 8, False)
