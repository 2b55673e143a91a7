"""Rows without labels: they come after the training rows, and their labels say that they have none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.errors import DataError
from hfcompress.pipeline.keys import stage_key
from hfcompress.recipe.data import UnlabeledConfig
from hfcompress.recipe.stages import ExportConfig
from hfcompress.recipe.tasks import TaskName
from hfcompress.recipe.training_stages import DistillConfig, FinetuneConfig, QatConfig
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import Rows
from tests import tiny
from tests.tasks.conftest import write

Load = Callable[..., Rows]
TEXTS = {"sentence": ["good word1", "word2 bad word3", "word4"]}
LABELLED = {
    "one class": ["pos", "neg", "pos"],
    "several": [["a"], [], ["a", "b"]],
    "numbers": [0.5, 1.5, -2.0],
}


def unlabeled(folder: Path, **fields: Any) -> UnlabeledConfig:
    path = write(folder / "more.jsonl", TEXTS)
    return UnlabeledConfig(**{"path": str(path), "columns": {"text": "sentence"}, **fields})


def with_unlabeled(load: Load, folder: Path, labels: list[Any], **fields: Any) -> Data:
    labelled = write(folder / "train.jsonl", {"text": ["good", "bad word1", "word5"], "label": labels})
    rows = load(labelled, unlabeled=unlabeled(folder, **fields))
    task = get_task("text-classification")
    return Data(task, rows, task.labels_of(rows.splits["train"], "column `label`", None), 16)


def batch_of(data: Data, **options: Any) -> dict[str, np.ndarray]:
    tokenizer = tiny.make_tokenizer()
    prepared = data.prepared("train", tokenizer, **options)
    return data.task.collate(tokenizer)([prepared[row] for row in range(len(prepared))])


@pytest.mark.parametrize("kind", LABELLED)
def test_their_labels_say_that_they_have_none(kind: str, load: Load, tmp_path: Path) -> None:
    data = with_unlabeled(load, tmp_path, LABELLED[kind])
    plain, batch = batch_of(data), batch_of(data, unlabeled=True)
    assert len(plain["row_id"]) == 3
    assert batch["row_id"].tolist() == [0, 1, 2, 3, 4, 5]
    assert batch["labels"].dtype == (np.int64 if kind == "one class" else np.float32)
    np.testing.assert_array_equal(batch["labels"][:3], plain["labels"])
    if kind == "one class":
        assert (batch["labels"][3:] == -100).all()
    else:
        assert np.isnan(batch["labels"][3:]).all()
        assert np.isfinite(batch["labels"][:3]).all()
        assert batch["labels"].shape[1:] == plain["labels"].shape[1:]
    tokenizer = tiny.make_tokenizer()
    read = [tokenizer.decode(row, skip_special_tokens=True) for row in batch["input_ids"]]
    assert read[3:] == TEXTS["sentence"]


def test_images_without_labels_are_appended_as_they_are(load: Load, digits: Path, vit: Path, tmp_path: Path) -> None:
    more = UnlabeledConfig(path=str(digits), split="test", limit=4)
    rows = load(digits, task="image-classification", limit={"train": 6}, unlabeled=more)
    task = get_task("image-classification")
    data = Data(task, rows, task.labels_of(rows.splits["train"], "x", None), 1)
    processor = task.load_processor(vit)
    prepared = data.prepared("train", processor, unlabeled=True)
    (batch,) = data.batches(prepared, processor, 100)
    assert batch["pixel_values"].shape[0] == 10
    assert (batch["labels"][:6] >= 0).all()
    assert (batch["labels"][6:] == -100).all()
    assert len(set(batch["row_id"].tolist())) == 10
    assert (batch["row_id"][6:] > batch["row_id"][:6].max()).all()
    assert rows.unlabeled is not None
    expected = task.preprocess(rows.unlabeled["image"][:], processor, 0)["pixel_values"]
    np.testing.assert_array_equal(batch["pixel_values"][6:], expected)


@pytest.mark.parametrize(
    "task, make, names",
    [
        ("token-classification", tiny.make_tagged, ("labels",)),
        ("question-answering", tiny.make_questions, ("start_positions", "end_positions")),
    ],
)
def test_tokens_and_positions_of_other_tasks_count_nowhere(
    task: TaskName, make: Any, names: tuple[str, ...], load: Load, tmp_path: Path
) -> None:
    folder = tiny.save_json(tmp_path / "labelled", make, {"train": 4})
    more = [{name: row[name] for name in row if name not in ("tags", "answers")} for row in make(3, 9)]
    tiny.save_json(tmp_path / "more", lambda *_: more, {"train": 3})
    code = get_task(task)
    rows = load(folder, task=task, unlabeled=UnlabeledConfig(path=str(tmp_path / "more")))
    data = Data(code, rows, code.labels_of(rows.splits["train"], "x", None), 32)
    plain, batch = batch_of(data), batch_of(data, unlabeled=True)
    assert len(batch["row_id"]) == len(set(batch["row_id"].tolist())) == 7
    for name in names:
        assert batch[name].dtype == np.int64
        assert (batch[name][4:] == -100).all()
        if batch[name].ndim == 1:
            np.testing.assert_array_equal(batch[name][:4], plain[name])
        else:
            assert [(row[row != -100]).tolist() for row in batch[name][:4]] == [
                (row[row != -100]).tolist() for row in plain[name]
            ]


def test_a_run_without_unlabelled_rows_prepares_what_it_has(load: Load, tmp_path: Path) -> None:
    data = with_unlabeled(load, tmp_path, LABELLED["one class"])
    without = replace(data, rows=replace(data.rows, unlabeled=None))
    assert batch_of(without, unlabeled=True)["row_id"].tolist() == [0, 1, 2]


def test_they_can_be_capped(load: Load, tmp_path: Path) -> None:
    data = with_unlabeled(load, tmp_path, LABELLED["one class"], limit=2)
    assert batch_of(data, unlabeled=True)["row_id"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"columns": {}}, r"has no column `text` \(data\.unlabeled\.columns\.text\); it has: sentence"),
        ({"split": "more"}, r"has no split `more` \(data\.unlabeled\.split\); it has: train"),
        ({"path": "nothing.jsonl"}, r"data\.unlabeled\.path 'nothing\.jsonl' cannot be loaded"),
        ({"path": __file__}, r"data\.unlabeled\.path .* should end in \.csv"),
    ],
)
def test_what_is_missing_is_named(fields: dict[str, Any], message: str, load: Load, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        with_unlabeled(load, tmp_path, LABELLED["one class"], **fields)


def test_pairs_need_pairs(load: Load, tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.jsonl", {"text": ["a", "b"], "text_pair": ["c", "d"], "label": ["x", "y"]})
    columns = {"text": "text", "text_pair": "text_pair"}
    with pytest.raises(DataError, match=r"has no column `text_pair` \(data\.unlabeled\.columns\.text_pair\)"):
        load(pairs, columns=columns, unlabeled=unlabeled(tmp_path))


def test_they_count_for_stages_that_learn_from_a_teacher_alone(load: Load, tmp_path: Path) -> None:
    data = with_unlabeled(load, tmp_path, LABELLED["one class"])
    other = with_unlabeled(load, tmp_path / "other", LABELLED["one class"], limit=1)
    inputs = {"source": "0" * 64}
    read = ((DistillConfig(), True), (QatConfig(), True), (FinetuneConfig(), False), (ExportConfig(), False))
    for config, differs in read:
        assert (stage_key(config, data, 0, inputs) != stage_key(config, other, 0, inputs)) is differs
