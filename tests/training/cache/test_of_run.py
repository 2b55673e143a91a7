"""A stage's teacher is asked once about every row of a run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from hfcompress.artifact import Artifact
from hfcompress.distill.stage import distill
from hfcompress.errors import InputError
from hfcompress.models.loading import load_model
from hfcompress.recipe.student import StudentConfig
from hfcompress.recipe.training_stages import DistillConfig
from hfcompress.stage import Inputs, Run
from hfcompress.training.answers import Answer
from hfcompress.training.arguments import DistillationArguments
from hfcompress.training.cache.kept import Keep, TopK
from hfcompress.training.cache.of_run import cached_teacher, what_to_keep
from hfcompress.training.cached_teacher import CachedTeacher
from hfcompress.training.teachers import Teacher
from tests import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_bert(tmp_path_factory.mktemp("teacher"), layers=1, head=True, num_labels=2)


class Counting(Teacher):
    asked = 0

    def answer(self, batch: Any, *args: Any) -> Answer:
        self.asked += len(batch["row_id"])
        return super().answer(batch, *args)


def ask(run: Run, model: Path, keep: Keep | None = None) -> tuple[Counting, CachedTeacher]:
    teacher = Counting(load_model(model, run.task))
    processor = run.data.task.load_processor(model)
    arguments = DistillationArguments(output_dir=str(run.work), use_cpu=True)
    kept = keep or what_to_keep(teacher, None, 2.0)
    return teacher, cached_teacher(teacher, Artifact(model, "torch"), processor, arguments, run, kept)


def test_a_second_stage_of_the_run_asks_nothing_and_gets_the_same(
    make_run: Callable[..., Run], model: Path, tmp_path: Path
) -> None:
    runs = [make_run(name, teacher_cache=tmp_path / "teacher_cache") for name in ("first", "second")]
    (first, cached), (second, again) = (ask(run, model) for run in runs)
    rows = runs[0].data.prepared("train", runs[0].data.task.load_processor(model))
    assert first.asked >= len(rows)
    assert second.asked == 0
    collate = runs[0].data.task.collate(runs[0].data.task.load_processor(model))
    batch = {name: torch.from_numpy(array) for name, array in collate([rows[row] for row in (3, 90, 17)]).items()}
    said = first.answer(batch).outputs["logits"]
    for remembers in (cached, again):
        torch.testing.assert_close(remembers.answer(batch).outputs["logits"], said, atol=1e-5, rtol=0)


def test_another_teacher_or_another_way_of_keeping_gets_a_cache_of_its_own(
    make_run: Callable[..., Run], model: Path, tmp_path: Path
) -> None:
    run = make_run("stage", teacher_cache=tmp_path / "teacher_cache")
    other = tiny.save_bert(tmp_path / "other", layers=1, head=True, num_labels=2, seed=1)
    folders = {ask(run, *how)[1].cache.folder for how in ((model,), (other,), (model, Keep(dtype="float16")))}
    assert len(folders) == 3
    assert sorted(folders) == sorted((tmp_path / "teacher_cache").iterdir())


def test_a_run_without_a_folder_for_it_says_so(make_run: Callable[..., Run], model: Path) -> None:
    with pytest.raises(InputError, match=r"no folder for a teacher cache; set `teacher_cache: off`"):
        ask(make_run("stage"), model)


def test_of_a_vocabulary_labelled_tokens_are_kept_and_of_rows_everything() -> None:
    torch.manual_seed(0)
    sizes = {**tiny.TINY, "num_hidden_layers": 1}
    lm, rows = (Teacher(kind(BertConfig(**sizes))) for kind in (BertForMaskedLM, BertForSequenceClassification))
    assert what_to_keep(rows, None, 2.0) == Keep()
    assert what_to_keep(lm, None, 2.0) == Keep(dtype="float16", positions="labelled")
    assert what_to_keep(lm, 64, 2.0) == Keep(topk=TopK(64, 2.0), positions="labelled")


def test_a_student_learns_from_a_teacher_with_other_tokens_through_its_cache(make_run: Any, tmp_path: Path) -> None:
    teacher = tiny.save_bert(tmp_path / "teacher", head=True, seed=3)
    tokenizer = teacher / "tokenizer.json"
    # Words 7 and 8 change places: the same ids are other words.
    swapped = tokenizer.read_text().replace('"word7"', '"?"').replace('"word8"', '"word7"').replace('"?"', '"word8"')
    tokenizer.write_text(swapped)
    source = tiny.save_bert(tmp_path / "source", head=True)
    run = make_run("student", teacher_cache=tmp_path / "cache")
    config = DistillConfig(student=StudentConfig(keep_layers=(0, 2)), training={"max_steps": 6, "bf16": False})
    student = distill(config, Inputs(Artifact(source, "torch"), (Artifact(teacher, "torch"),)), run)
    assert student.details is not None
    assert student.details["steps"] == 6
    assert [path.name for path in (tmp_path / "cache").iterdir() if (path / "identity.json").is_file()]
