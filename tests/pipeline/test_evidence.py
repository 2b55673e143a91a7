"""What a report shows beside the results, from the folder of a run; and which rows are kept for it."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hfcompress.pipeline.evidence import gather_evidence
from hfcompress.pipeline.examples import keep_examples
from hfcompress.pipeline.flips import count_flips
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.predictions import Predictions, write_predictions
from hfcompress.recipe.data import DataConfig
from hfcompress.report.evidence import Examples, Flip
from hfcompress.results import Results
from hfcompress.tasks import get_task
from hfcompress.tasks.columns import Ragged
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from tests import tiny
from tests.report.examples import changed, demo


def crafted(tmp_path: Path, data: Data, right: Predictions, wrong: Predictions) -> tuple[RunFolder, Results]:
    """A run folder whose teacher gives the one answers and every other artifact the others; both counted."""
    folder, results = RunFolder(tmp_path / "run"), demo()
    folder.create(0)
    for artifact in results.artifacts:
        answers = right if artifact.name == "teacher" else wrong
        write_predictions(answers, folder.predictions(artifact.name, "test"), "key")
        if artifact.name != "teacher":
            pair = {"teacher": right, artifact.name: wrong}
            flips, classes = count_flips(pair, (artifact.name, "teacher"), data, "test")
            results = changed(results, artifact.name, flips=flips, classes=classes)
    return folder, results


def classified(tmp_path: Path, data: Data) -> tuple[RunFolder, Results]:
    """A teacher that is always right, and artifacts that are wrong about every third row."""
    rows, names = data.rows.splits["test"], data.labels.names
    label = data.labels.encode(list(rows["label"]), "test")
    prediction = label.copy()
    prediction[::3] = (prediction[::3] + 1) % len(names)
    kept = {"row_id": np.array(rows["row_id"]), "label": label}
    return crafted(tmp_path, data, {**kept, "prediction": label}, {**kept, "prediction": prediction})


def data_of(path: Path, task: Any) -> Data:
    rows = load_rows(DataConfig(path=str(path), splits={"test": "test"}), task, 0)
    return Data(get_task(task), rows, get_task(task).labels_of(rows.splits["test"], "labels", None), 32)


def test_texts_of_flipped_rows_are_kept_and_no_others(tmp_path: Path, reviews: Path) -> None:
    folder, results = classified(tmp_path, data_of(reviews, "text-classification"))
    keep_examples(folder, results, data_of(reviews, "text-classification"), "test")
    with (reviews / "test.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    kept = Examples.model_validate_json(folder.examples.read_text(encoding="utf-8"))
    assert {row: example.texts for row, example in kept.rows.items()} == {
        row: {"text": text} for row, text in enumerate(texts) if row % 3 == 0
    }
    assert gather_evidence(folder, results).examples == kept


def test_images_of_flipped_rows_are_kept_as_thumbnails(tmp_path: Path, digits: Path) -> None:
    data = data_of(digits, "image-classification")
    folder, results = classified(tmp_path, data)
    keep_examples(folder, results, data, "test")
    kept = Examples.model_validate_json(folder.examples.read_text(encoding="utf-8"))
    kind, _, content = (kept.rows[3].image or "").partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        original = data.rows.splits["test"][3]["image"].convert("RGB")
        assert image.size == original.size
        if kind == "data:image/png":
            assert np.array_equal(np.asarray(image), np.asarray(original))


def test_words_of_a_sentence_are_kept_where_the_tag_of_one_flips(tmp_path: Path) -> None:
    data = data_of(tiny.save_tagged(tmp_path / "tagged", train=2, validation=2, test=6), "token-classification")
    words = [list(each) for each in data.rows.splits["test"]["tokens"]]
    lengths = np.array([len(each) for each in words])
    before = np.zeros(lengths.sum(), dtype=np.int64)
    after = before.copy()
    after[lengths[0]] = 1  # the first word of row 1
    kept = {"row_id": np.arange(6), "label": Ragged(before, lengths)}
    answers = ({**kept, "prediction": Ragged(each, lengths)} for each in (before, after))
    folder, results = crafted(tmp_path, data, *answers)
    keep_examples(folder, results, data, "test")
    found = gather_evidence(folder, results)
    assert found.examples is not None
    assert {row: list(example.words) for row, example in found.examples.rows.items()} == {1: words[1]}
    assert {(flip.row, flip.word) for flips in found.examples.flips.values() for flip in flips} == {(1, 0)}


def test_questions_and_contexts_are_kept_and_their_answers_are_private(tmp_path: Path) -> None:
    data = data_of(tiny.save_questions(tmp_path / "asked", train=2, validation=2, test=4), "question-answering")

    def said(answers: list[str], exact: list[float]) -> Predictions:
        kept = {"row_id": np.arange(4), "prediction": np.array(answers, dtype=object)}
        return {**kept, "exact_match": np.array(exact), "f1": np.array(exact)}

    folder, results = crafted(tmp_path, data, said(list("abcd"), [1, 1, 1, 1]), said(list("abxd"), [1, 1, 0, 1]))
    keep_examples(folder, results, data, "test")
    found = gather_evidence(folder, results)
    assert found.published("", examples=False).examples == Examples(
        split="test",
        flips={
            name: (Flip(row=2, verdict="lost", label="", before="", after=""),) for name in ("student", "onnx", "int8")
        },
    )
    row = data.rows.splits["test"][2]
    assert found.examples is not None
    assert found.examples.rows[2].texts == {"question": row["question"], "context": row["context"]}
    assert list(found.examples.rows) == [2]


def test_rows_of_an_earlier_run_go_where_nothing_flips_any_more(tmp_path: Path, reviews: Path) -> None:
    data = data_of(reviews, "text-classification")
    folder, results = classified(tmp_path, data)
    keep_examples(folder, results, data, "test")
    right = folder.predictions("teacher", "test").read_bytes()
    for artifact in results.artifacts:
        folder.predictions(artifact.name, "test").write_bytes(right)
    keep_examples(folder, results, data, "test")
    assert not folder.examples.exists()


def test_long_texts_are_cut_and_all_together_stay_within_a_budget(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.mkdir()
    with (path / "test.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("text", "label"))
        writer.writeheader()
        writer.writerows({"text": "z" * 5000, "label": str(row % 2)} for row in range(3000))
    data = data_of(path, "text-classification")
    folder, results = classified(tmp_path, data)
    keep_examples(folder, results, data, "test")
    kept = gather_evidence(folder, results).examples
    assert kept is not None
    assert {len(example.texts["text"]) for example in kept.rows.values()} == {1501}
    assert folder.examples.stat().st_size < 1_100_000


def test_a_folder_with_results_alone_has_no_evidence_and_is_no_error(tmp_path: Path) -> None:
    found = gather_evidence(RunFolder(tmp_path), demo())
    assert (found.recipe, found.trainings, found.samples, found.examples) == ("", (), (), None)
