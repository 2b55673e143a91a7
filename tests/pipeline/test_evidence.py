"""What a report shows beside the results, from the folder of a run; and which rows are kept for it."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hfcompress.pipeline.evidence import gather_evidence
from hfcompress.pipeline.examples import keep_examples
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.predictions import write_predictions
from hfcompress.recipe.data import DataConfig
from hfcompress.report.evidence import Examples
from hfcompress.results import Results
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.label_columns import labels_of_data
from tests.report.examples import demo


def crafted(tmp_path: Path, data: Data, classes: int) -> tuple[RunFolder, Results]:
    """A run folder whose teacher is always right and whose other artifacts are wrong about every third row."""
    folder = RunFolder(tmp_path / "run")
    folder.create(0)
    rows = data.rows.splits["test"]
    label = data.labels.encode(list(rows["label"]), "test")
    for artifact in demo().artifacts:
        prediction = label.copy()
        if artifact.name != "teacher":
            prediction[::3] = (prediction[::3] + 1) % classes
        answers = {"row_id": np.array(rows["row_id"]), "label": label, "prediction": prediction}
        write_predictions(answers, folder.predictions(artifact.name, "test"), "key")
        folder.artifact(artifact.name).mkdir()
        names = dict(enumerate(data.labels.names))
        (folder.artifact(artifact.name) / "config.json").write_text(json.dumps({"id2label": names}))
    return folder, demo()


def data_of(path: Path, task: Any) -> Data:
    rows = load_rows(DataConfig(path=str(path), splits={"test": "test"}), task, 0)
    return Data(get_task(task), rows, labels_of_data(rows.splits["test"], "labels"), 32)


def test_texts_of_flipped_rows_are_kept_and_no_others(tmp_path: Path, reviews: Path) -> None:
    folder, results = crafted(tmp_path, data_of(reviews, "text-classification"), 2)
    keep_examples(folder, results, data_of(reviews, "text-classification"))
    with (reviews / "test.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    kept = Examples.model_validate_json(folder.examples.read_text(encoding="utf-8"))
    assert {row: example.texts for row, example in kept.rows.items()} == {
        row: {"text": text} for row, text in enumerate(texts) if row % 3 == 0
    }
    assert gather_evidence(folder, results).examples == kept


def test_images_of_flipped_rows_are_kept_as_thumbnails(tmp_path: Path, digits: Path) -> None:
    data = data_of(digits, "image-classification")
    folder, results = crafted(tmp_path, data, 10)
    keep_examples(folder, results, data)
    kept = Examples.model_validate_json(folder.examples.read_text(encoding="utf-8"))
    kind, _, content = (kept.rows[3].image or "").partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        original = data.rows.splits["test"][3]["image"].convert("RGB")
        assert image.size == original.size
        if kind == "data:image/png":
            assert np.array_equal(np.asarray(image), np.asarray(original))


def test_rows_of_an_earlier_run_go_where_nothing_flips_any_more(tmp_path: Path, reviews: Path) -> None:
    data = data_of(reviews, "text-classification")
    folder, results = crafted(tmp_path, data, 2)
    keep_examples(folder, results, data)
    right = folder.predictions("teacher", "test").read_bytes()
    for artifact in results.artifacts:
        folder.predictions(artifact.name, "test").write_bytes(right)
    keep_examples(folder, results, data)
    assert not folder.examples.exists()


def test_long_texts_are_cut_and_all_together_stay_within_a_budget(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.mkdir()
    with (path / "test.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("text", "label"))
        writer.writeheader()
        writer.writerows({"text": "z" * 5000, "label": str(row % 2)} for row in range(3000))
    data = data_of(path, "text-classification")
    folder, results = crafted(tmp_path, data, 2)
    keep_examples(folder, results, data)
    kept = gather_evidence(folder, results).examples
    assert kept is not None
    assert {len(example.texts["text"]) for example in kept.rows.values()} == {1501}
    assert folder.examples.stat().st_size < 1_100_000


def test_a_folder_with_results_alone_has_no_evidence_and_is_no_error(tmp_path: Path) -> None:
    found = gather_evidence(RunFolder(tmp_path), demo())
    assert (found.recipe, found.trainings, found.samples, found.flips, found.examples) == ("", (), (), (), None)
