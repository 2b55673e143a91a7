"""Stage keys: what changes them, and what must not."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from hfcompress.pipeline import keys
from hfcompress.pipeline.keys import stage_key
from hfcompress.recipe.data import DataConfig
from hfcompress.recipe.quantization import Calibration, Fallback
from hfcompress.recipe.stages import EngineConfig, ExportConfig, QuantizeConfig, StageConfig
from hfcompress.recipe.student import StudentConfig
from hfcompress.recipe.training_stages import DistillConfig, FinetuneConfig, QatConfig
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.label_columns import labels_of_data
from tests import tiny

INPUTS = {"source": "a" * 64}


@pytest.fixture(scope="module")
def data(reviews: Path) -> Data:
    rows = load_rows(DataConfig(path=str(reviews)), "text-classification", seed=0)
    return Data(get_task("text-classification"), rows, labels_of_data(rows.splits["train"], "labels"), 32)


def key(config: StageConfig, data: Data, seed: int = 0, inputs: dict[str, str] = INPUTS) -> str:
    return stage_key(config, data, seed, inputs)


def test_equal_input_gives_an_equal_key(data: Data) -> None:
    assert key(FinetuneConfig(), data) == key(FinetuneConfig(training={}), data)


@pytest.mark.parametrize(
    "other",
    [
        FinetuneConfig(training={"learning_rate": 1e-3}),
        DistillConfig(),
        DistillConfig(temperature=3),
        DistillConfig(student=StudentConfig(keep_layers=(0, 1))),
        QatConfig(),
        QatConfig(teacher=({"id": "other"},), freeze_after=0.5),
        DistillConfig(student=StudentConfig(config={"hidden_size": 16})),
        ExportConfig(),
        QuantizeConfig(),
    ],
)
def test_another_config_gives_another_key(data: Data, other: StageConfig) -> None:
    assert key(FinetuneConfig(), data) != key(other, data)


def test_seed_inputs_and_world_size_count(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    config = FinetuneConfig()
    found = {key(config, data), key(config, data, seed=1), key(config, data, inputs={"source": "b" * 64})}
    monkeypatch.setenv("WORLD_SIZE", "2")
    found.add(key(config, data))
    assert len(found) == 4


def test_twice_the_processes_with_half_the_batch_are_another_key_and_make_no_difference_to_an_export(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, exported = key(FinetuneConfig(training={"per_device_train_batch_size": 16}), data), key(ExportConfig(), data)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert key(FinetuneConfig(training={"per_device_train_batch_size": 8}), data) != alone
    assert key(ExportConfig(), data) == exported


def test_rows_labels_and_length_count_for_training_and_not_for_dynamic_int8(
    data: Data, reviews: Path, tmp_path: Path
) -> None:
    other_rows = load_rows(DataConfig(path=str(tiny.save_reviews(tmp_path / "r", train=63))), data.task.name, seed=0)
    changed = [replace(data, rows=other_rows), replace(data, max_length=16)]
    for config, differs in ((FinetuneConfig(), True), (QuantizeConfig(), False)):
        for other in changed:
            assert (key(config, other) != key(config, data)) is differs


def test_validation_rows_count_for_training_only_when_it_evaluates(data: Data, tmp_path: Path) -> None:
    folder = tiny.save_reviews(tmp_path / "r", validation=31)
    other = replace(data, rows=load_rows(DataConfig(path=str(folder)), data.task.name, seed=0))
    plain, evaluating = FinetuneConfig(), FinetuneConfig(training={"eval_strategy": "epoch"})
    assert key(plain, other) == key(plain, data)
    assert key(evaluating, other) != key(evaluating, data)


@pytest.mark.parametrize("kind", [QuantizeConfig, QatConfig])
def test_the_cpu_counts_where_the_target_is_this_host(
    kind: type[QuantizeConfig | QatConfig], data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = key(kind(), data)
    vnni = keys.describe_host().model_copy(update={"flags": {"avx2": True, "avx512f": True, "avx512_vnni": True}})
    avx2 = keys.describe_host().model_copy(update={"flags": {"avx2": True}})
    found = []
    for host in (vnni, avx2):
        monkeypatch.setattr(keys, "describe_host", lambda host=host: host)
        found.append((key(kind(), data), key(kind(target="arm64"), data)))
    assert found[0][0] != found[1][0]
    assert found[0][1] == found[1][1]
    assert here in (found[0][0], found[1][0])


def test_a_patch_release_of_a_library_does_not_count_and_a_minor_one_does(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(version: str) -> str:
        monkeypatch.setattr(keys, "library_version", lambda name: version)
        return key(FinetuneConfig(), data)

    assert at("4.57.6") == at("4.57.7")
    assert at("4.57.6") != at("4.58.0")


def test_the_students_checkpoint_counts_by_its_digest_and_not_by_its_name(data: Data) -> None:
    here, there = (DistillConfig(student=StudentConfig(model={"id": name})) for name in ("a/b", "/elsewhere/b"))
    assert key(here, data) == key(there, data)
    digests = [{**INPUTS, "student": letter * 64} for letter in "bc"]
    assert len({key(here, data, inputs=inputs) for inputs in (INPUTS, *digests)}) == 3


def test_a_fallback_reads_the_validation_rows_and_no_others(data: Data, tmp_path: Path) -> None:
    plain, searching = QuantizeConfig(), QuantizeConfig(fallback=Fallback(max_drop={"accuracy": 0.01}))
    for changed, same in (({"validation": 31}, False), ({"test": 31}, True), ({"train": 31}, True)):
        folder = tiny.save_reviews(tmp_path / next(iter(changed)), **changed)
        other = replace(data, rows=load_rows(DataConfig(path=str(folder)), data.task.name, seed=0))
        assert key(plain, other) == key(plain, data)
        assert (key(searching, other) == key(searching, data)) is same


def test_a_calibration_reads_the_training_rows(data: Data, reviews: Path, tmp_path: Path) -> None:
    static = QuantizeConfig(calibration=Calibration())
    others = {"train": {"train": 63}, "validation": {"validation": 31}}
    rows = {
        split: load_rows(DataConfig(path=str(tiny.save_reviews(tmp_path / split, **size))), data.task.name, seed=0)
        for split, size in others.items()
    }
    assert key(static, replace(data, rows=rows["train"])) != key(static, data)
    assert key(static, replace(data, rows=rows["validation"])) == key(static, data)
    assert key(static, data, seed=1) != key(static, data)
    assert len({key(QuantizeConfig(calibration=Calibration(samples=n)), data) for n in (1, 2)}) == 2


@pytest.mark.parametrize("kind", [QuantizeConfig, QatConfig])
def test_allowing_a_slower_int8_changes_its_gate_and_not_its_graph(
    kind: type[QuantizeConfig | QatConfig], data: Data
) -> None:
    assert key(kind(allow_slower=True), data) == key(kind(), data)


def test_an_engine_is_that_of_a_gpu_a_tensorrt_and_the_lengths_of_all_rows(
    data: Data, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from hfcompress.runtimes import tensorrt

    named = product(("NVIDIA L4", "NVIDIA T4"), ("10.9", "10.10"), ("1.31",))
    machines = [tensorrt.Machine(*each) for each in named]
    found = set()
    for machine in machines:
        monkeypatch.setattr(tensorrt, "this_machine", lambda machine=machine: machine)
        found |= {key(EngineConfig(batch=batch), data) for batch in ((1,), (8,))}
    assert len(found) == 8
    other = load_rows(DataConfig(path=str(tiny.save_reviews(tmp_path, train=9))), data.task.name, seed=0)
    assert key(EngineConfig(batch=(8,)), replace(data, rows=other)) not in found
