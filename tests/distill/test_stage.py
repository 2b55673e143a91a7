"""The stages that train, run as the pipeline runs them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hfcompress.artifact import Artifact
from hfcompress.distill.stage import distill, finetune
from hfcompress.distill.student import make_student
from hfcompress.errors import TrainingDivergedError
from hfcompress.models.loading import load_model
from hfcompress.recipe.student import StudentConfig
from hfcompress.recipe.training_stages import DistillConfig, FinetuneConfig
from hfcompress.stage import Inputs, Run
from hfcompress.tasks.data import Data
from hfcompress.training.losses import soft_target_kl
from tests.answers import answers

MakeRun = Callable[..., Run]
TASK = "text-classification"
TRAINING = {"per_device_train_batch_size": 16, "learning_rate": 2e-3, "bf16": False, "logging_steps": 4}
STUDENT = StudentConfig(keep_layers=(0, 2))


class PowerCutError(Exception):
    """Stands for a kill: nothing of ours catches it."""


class Counted:
    """A `Progress` that writes down what it hears, and may cut the power after some steps."""

    def __init__(self, cut_after: int | None = None) -> None:
        self.cut_after = cut_after
        self.done, self.total, self.closed, self.said = 0, 0, 0, list[str]()

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Counted]:
        self.total, self.done = total, 0
        try:
            yield self
        finally:
            self.closed += 1

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        if self.cut_after is not None and self.done > self.cut_after:
            raise PowerCutError

    def say(self, line: str) -> None:
        self.said.append(line)


def accuracy(path: Path, data: Data) -> float:
    logits, labels = answers(path, data)
    return float((logits.argmax(-1) == labels).mean())


@pytest.fixture(scope="module")
def taught(encoder: Path, data: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Counted]:
    """A teacher fine-tuned once, and what its progress heard."""
    folders = {name: tmp_path_factory.mktemp(f"teacher-{name}") for name in ("out", "work")}
    heard = Counted()
    run = Run("teacher", data, 0, **folders, progress=heard)
    config = FinetuneConfig(training={**TRAINING, "num_train_epochs": 5})
    return finetune(config, Inputs(Artifact(encoder, "torch")), run), heard


@pytest.fixture(scope="module")
def teacher(taught: tuple[Artifact, Counted]) -> Artifact:
    return taught[0]


def test_finetuning_learns_what_makes_a_review_good(teacher: Artifact, data: Data) -> None:
    assert accuracy(teacher.path, data) > 0.9


def test_the_artifact_stands_on_its_own_and_holds_nothing_of_the_trainer(teacher: Artifact, encoder: Path) -> None:
    names = {path.name for path in teacher.path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    assert not {name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))}
    assert not names & {"trainer_state.json", "training_args.bin", "optimizer.pt", "scheduler.pt"}
    assert not [path for path in teacher.path.iterdir() if path.is_dir()]
    for path in teacher.path.glob("*.json"):
        text = path.read_text()
        assert str(encoder.parent) not in text, f"{path.name} holds an absolute path"
        assert str(teacher.path.parent) not in text, f"{path.name} holds an absolute path"


def test_the_model_knows_the_datas_labels(teacher: Artifact) -> None:
    config = json.loads((teacher.path / "config.json").read_text())
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert config["architectures"] == ["BertForSequenceClassification"]


def test_the_details_hold_finite_losses_by_step_that_go_down(teacher: Artifact) -> None:
    assert teacher.details is not None
    assert teacher.details["steps"] == 120
    losses = [entry for entry in teacher.details["losses"] if "loss" in entry]
    assert [entry["step"] for entry in losses] == list(range(4, 121, 4))
    assert all(math.isfinite(value) for entry in losses for value in entry.values())
    assert losses[-1]["loss"] < losses[0]["loss"]
    json.dumps(teacher.details, allow_nan=False)


def test_progress_is_told_every_step_and_closed(taught: tuple[Artifact, Counted]) -> None:
    heard = taught[1]
    assert (heard.done, heard.total, heard.closed) == (120, 120, 1)


def kl(student: np.ndarray, teacher: np.ndarray) -> float:
    return soft_target_kl(torch.tensor(student), torch.tensor(teacher), 2.0).mean().item()


def test_distilling_brings_the_student_closer_to_its_teacher(
    teacher: Artifact, data: Data, make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run("student")
    config = DistillConfig(student=STUDENT, training={**TRAINING, "num_train_epochs": 2})
    student = distill(config, Inputs(teacher, (teacher,)), run)
    untrained = make_student(load_model(teacher.path, TASK), STUDENT)
    untrained.save_pretrained(tmp_path / "untrained")
    data.task.load_processor(teacher.path).save_pretrained(tmp_path / "untrained")

    theirs, _ = answers(teacher.path, data)
    before, after = (kl(answers(path, data)[0], theirs) for path in (tmp_path / "untrained", student.path))
    assert after < before / 2
    assert accuracy(student.path, data) > 0.85
    assert json.loads((student.path / "config.json").read_text())["num_hidden_layers"] == 2

    assert student.details is not None
    parts = [entry for entry in student.details["losses"] if "loss_kl" in entry]
    assert parts, "the parts of the loss are logged"
    for entry in parts:
        assert entry["loss"] == pytest.approx(0.9 * entry["loss_kl"] + 0.1 * entry["loss_label"], rel=1e-3, abs=1e-3)


def test_a_distilbert_student_trains_beside_a_teacher_that_takes_segments(
    teacher: Artifact, data: Data, make_run: MakeRun
) -> None:
    run = make_run("distilbert")
    student = StudentConfig(keep_layers=(0, 2), architecture="distilbert")
    config = DistillConfig(student=student, training={**TRAINING, "num_train_epochs": 2})
    made = distill(config, Inputs(teacher, (teacher,)), run)
    assert accuracy(made.path, data) > 0.8
    processor = data.task.load_processor(made.path)
    assert "token_type_ids" not in processor("good", return_tensors="pt"), "its own tokenizer gives what it takes"


def test_a_stage_with_the_same_seed_gives_the_same_bits(encoder: Path, make_run: MakeRun) -> None:
    config = FinetuneConfig(training={**TRAINING, "max_steps": 3})
    inputs = Inputs(Artifact(encoder, "torch"))
    first, again = (finetune(config, inputs, make_run(name)) for name in ("a", "b"))
    other = finetune(config, inputs, make_run("c", seed=1))
    weights = [load_file(made.path / "model.safetensors") for made in (first, again, other)]
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
    assert not torch.equal(weights[0]["classifier.weight"], weights[2]["classifier.weight"])


def test_a_stage_that_was_cut_off_goes_on_and_ends_bit_equal(teacher: Artifact, make_run: MakeRun) -> None:
    training = {**TRAINING, "num_train_epochs": 1, "save_strategy": "steps", "save_steps": 4}
    config = DistillConfig(student=STUDENT, training=training)
    inputs = Inputs(teacher, (teacher,))
    whole = distill(config, inputs, make_run("whole"))

    cut = Counted(cut_after=9)
    with pytest.raises(PowerCutError):
        distill(config, inputs, make_run("cut", progress=cut))
    assert cut.closed == 1
    run = make_run("cut", progress=Counted())
    assert (run.work / "checkpoint-8").is_dir()
    assert not list(run.out.iterdir())
    resumed = distill(config, inputs, run)

    assert run.progress.said == ["cut: resumes from checkpoint-8"]  # type: ignore[attr-defined]
    names = sorted(path.name for path in whole.path.iterdir())
    assert sorted(path.name for path in resumed.path.iterdir()) == names
    for name in names:
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert resumed.details == whole.details


def test_a_learning_rate_that_blows_up_stops_at_its_step_and_writes_nothing(encoder: Path, make_run: MakeRun) -> None:
    run = make_run("blown", progress=Counted())
    config = FinetuneConfig(training={**TRAINING, "learning_rate": 1e30, "max_grad_norm": 0.0, "num_train_epochs": 1})
    with pytest.raises(TrainingDivergedError, match=r"became NaN or infinite (at|by) step \d+"):
        finetune(config, Inputs(Artifact(encoder, "torch")), run)
    assert not list(run.out.iterdir())
    assert run.progress.closed == 1  # type: ignore[attr-defined]


def test_a_source_with_nan_weights_stops_at_the_first_step(
    teacher: Artifact, make_run: MakeRun, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in teacher.path.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["bert.encoder.layer.0.output.dense.weight"][0, 0] = math.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    run = make_run("nan")
    config = DistillConfig(student=STUDENT, training={**TRAINING, "num_train_epochs": 1})
    with pytest.raises(TrainingDivergedError, match="NaN or infinite at step 1"):
        distill(config, Inputs(Artifact(broken, "torch"), (teacher,)), run)
    assert not list(run.out.iterdir())


def test_validation_loss_is_logged_when_it_is_asked_for(encoder: Path, make_run: MakeRun) -> None:
    training = {**TRAINING, "max_steps": 4, "eval_strategy": "steps", "eval_steps": 2}
    made = finetune(FinetuneConfig(training=training), Inputs(Artifact(encoder, "torch")), make_run("evaluated"))
    assert made.details is not None
    assert [entry["step"] for entry in made.details["losses"] if "eval_loss" in entry] == [2, 4]
