"""Every task can be learned: a tiny model is fine-tuned, and a smaller one distilled from it, to a stated score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hfcompress.artifact import Artifact
from hfcompress.benchmark.statistics import metric_interval
from hfcompress.distill.stage import distill, finetune
from hfcompress.errors import InputError
from hfcompress.pipeline.predictions import predict_split
from hfcompress.progress import SILENT
from hfcompress.recipe.data import DataConfig
from hfcompress.recipe.student import StudentConfig
from hfcompress.recipe.tasks import Metric, TaskName
from hfcompress.recipe.training_stages import DistillConfig, FinetuneConfig
from hfcompress.stage import Inputs, Run
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from tests import tiny


@dataclass(frozen=True)
class Lesson:
    """Data that a tiny model can learn, and how well it should.

    Attributes:
        task: the task.
        save: writes the data into a folder.
        metric: what is scored on validation.
        taught: at least this of the fine-tuned teacher; None: the teacher is the random encoder itself.
        learned: at least this of the student.
        epochs: of both trainings.
        distil: further fields of the student's config.
    """

    task: TaskName
    save: Callable[..., Path]
    metric: Metric
    taught: float | None
    learned: float
    epochs: int = 20
    distil: dict[str, Any] | None = None


LESSONS = {
    "classes": Lesson("text-classification", tiny.save_reviews, "accuracy", 0.9, 0.9, epochs=8),
    "labels": Lesson("text-classification", tiny.save_topics, "f1_micro", 0.9, 0.9),
    "regression": Lesson("text-classification", tiny.save_scores, "pearson", 0.9, 0.9),
    "tokens": Lesson("token-classification", tiny.save_tagged, "f1", 0.85, 0.8, epochs=30),
    "masked tokens": Lesson("masked-lm", tiny.save_lines, "accuracy", 0.9, 0.9),
    "spans": Lesson("question-answering", tiny.save_questions, "f1", 0.9, 0.9),
}


@pytest.mark.parametrize("name", LESSONS)
def test_a_tiny_model_learns_the_task_and_teaches_it(name: str, tmp_path: Path) -> None:
    lesson = LESSONS[name]
    data = data_of(lesson, tmp_path)
    source = Artifact(tiny.save_bert(tmp_path / "model", layers=2), "torch")
    training = {"per_device_train_batch_size": 32, "learning_rate": 3e-3, "bf16": False, "save_strategy": "no"}
    training |= {"num_train_epochs": lesson.epochs}
    teacher = finetune(FinetuneConfig(training=training), Inputs(source), run_of(data, tmp_path / "teacher"))
    assert score(lesson, teacher, data) >= (lesson.taught or 0)
    config = DistillConfig(student=StudentConfig(keep_layers=(0,)), training=training, **(lesson.distil or {}))
    student = distill(config, Inputs(teacher, (teacher,)), run_of(data, tmp_path / "student"))
    assert score(lesson, student, data) >= lesson.learned


def data_of(lesson: Lesson, folder: Path) -> Data:
    task = get_task(lesson.task)
    lesson.save(folder / "data", train=400, validation=100)
    config = DataConfig(path=str(folder / "data"), splits={"train": "train", "validation": "validation"}, max_length=32)
    rows = load_rows(config, lesson.task, 0)
    return Data(task, rows, task.labels_of(rows.splits["train"], str(folder), None), 32)


def run_of(data: Data, folder: Path) -> Run:
    for name in ("out", "work"):
        (folder / name).mkdir(parents=True)
    return Run(folder.name, data, 0, folder / "out", folder / "work", teacher_cache=folder / "cache")


def score(lesson: Lesson, artifact: Artifact, data: Data) -> float:
    kept = predict_split(artifact, "validation", data, SILENT, "validation")
    statistic = data.task.statistic(lesson.metric, kept, data.labels)
    return metric_interval(statistic, len(kept["row_id"]), 0).value


def test_an_encoder_teaches_its_embeddings(tmp_path: Path) -> None:
    lesson = Lesson("feature-extraction", tiny.save_pairs, "spearman", None, 0.8)
    data = data_of(lesson, tmp_path)
    teacher = Artifact(tiny.save_bert(tmp_path / "model", layers=2), "torch")
    training = {"per_device_train_batch_size": 32, "learning_rate": 3e-3, "bf16": False, "num_train_epochs": 8}
    # A fresh model, which knows nothing: a copied layer would know the words already.
    fresh = StudentConfig(config={"num_hidden_layers": 1, "hidden_size": 32})
    config = DistillConfig(student=fresh, training=training)
    student = distill(config, Inputs(teacher, (teacher,)), run_of(data, tmp_path / "student"))
    assert student.details is not None
    apart = [entry["loss_kl"] for entry in student.details["losses"] if "loss_kl" in entry]
    assert apart[-1] < 0.2 * apart[0]  # 1 - cosine to the teacher's embeddings
    assert score(lesson, student, data) >= lesson.learned


def test_embeddings_have_no_labels_to_be_fine_tuned_on(tmp_path: Path) -> None:
    lesson = Lesson("feature-extraction", tiny.save_pairs, "spearman", None, 0.8)
    source = Artifact(tiny.save_bert(tmp_path / "model", layers=1), "torch")
    with pytest.raises(InputError, match="nothing for an embedding to learn: give it a teacher"):
        finetune(FinetuneConfig(), Inputs(source), run_of(data_of(lesson, tmp_path), tmp_path / "tuned"))
