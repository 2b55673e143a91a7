"""Embeddings: the mean over a text's own tokens; pairs are two rows whose answers come together again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import spatial, stats

from hfcompress import load
from hfcompress.artifact import Artifact
from hfcompress.errors import DataError
from hfcompress.models.loading import load_model, save_model
from hfcompress.pipeline.predictions import predict_split
from hfcompress.progress import SILENT
from hfcompress.recipe.data import DataConfig
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.feature_extraction import cosine, mean_pooled
from hfcompress.tasks.labels import NO_CLASSES
from tests import tiny

TASK = get_task("feature-extraction")


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), left=st.booleans(), seed=st.integers(0, 99))
def test_pooling_is_the_mean_of_each_rows_own_tokens(lengths: list[int], left: bool, seed: int) -> None:
    width = max(lengths) + 1
    mask = np.array([[int(place < length) for place in range(width)][:: -1 if left else 1] for length in lengths])
    hidden = np.random.default_rng(seed).normal(size=(len(lengths), width, 3)).astype(np.float32)
    expected = [row[kept == 1].mean(axis=0) for row, kept in zip(hidden, mask, strict=True)]
    np.testing.assert_allclose(mean_pooled(hidden, mask), expected, rtol=1e-5, atol=1e-6)


def test_the_cosine_is_scipys() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 6, 4))
    expected = [1 - spatial.distance.cosine(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(cosine(a, b), expected)
    assert cosine(np.zeros((1, 4)), np.ones((1, 4))) == 0


@pytest.fixture
def data(tmp_path: Path) -> Data:
    folder = tiny.save_pairs(tmp_path / "pairs", train=5, validation=30, test=3)
    rows = load_rows(DataConfig(path=str(folder), limit={"validation": 20}), TASK.name, 0)
    return Data(TASK, rows, NO_CLASSES, 32)


def test_training_rows_are_single_texts_and_evaluated_ones_pairs(data: Data) -> None:
    tokenizer = tiny.make_tokenizer()
    train, validation = data.prepared("train", tokenizer), data.prepared("validation", tokenizer)
    assert len(train) == 5
    assert len(validation) == 40
    assert len(set(validation["row_id"])) == 40
    raw = data.rows.splits["validation"]
    texts = [text for pair in zip(raw["text"], raw["text_pair"], strict=True) for text in pair]
    assert [tokenizer.decode(ids, skip_special_tokens=True) for ids in validation["input_ids"]] == texts


def test_training_needs_no_pairs_and_evaluation_does(tmp_path: Path) -> None:
    folder = tiny.save_json(tmp_path, lambda rows, _: [{"text": "good"}] * rows, {"train": 3, "validation": 3})
    splits = {"train": "train"}
    assert len(load_rows(DataConfig(path=str(folder), splits=splits), TASK.name, 0).splits["train"]) == 3
    with pytest.raises(DataError, match=r"no column `text_pair` \(data\.columns\.text_pair\)"):
        load_rows(DataConfig(path=str(folder), splits={"validation": "validation"}), TASK.name, 0)


def test_a_similarity_that_is_no_number_is_named(data: Data) -> None:
    rows = Dataset.from_dict({"text": ["a"], "text_pair": ["b"], "label": [float("nan")], "row_id": [7]})
    with pytest.raises(DataError, match="the label nan in row 7"):
        TASK.encode(rows, NO_CLASSES, "split `test`")


def test_the_score_is_the_correlation_of_cosines_with_labels(data: Data, encoder: Path) -> None:
    predicted = predict_split(Artifact(encoder, "torch"), "validation", data, SILENT, "x")
    raw = data.rows.splits["validation"]
    model = load(encoder, threads=1)
    first, second = (np.array(model.answer(list(raw[name]))) for name in ("text", "text_pair"))
    cosines = [1 - spatial.distance.cosine(x, y) for x, y in zip(first, second, strict=True)]
    np.testing.assert_allclose(np.asarray(predicted["prediction"]), cosines, atol=1e-5)
    assert np.asarray(predicted["row_id"]).tolist() == list(raw["row_id"])
    once = np.ones((1, 20))
    for name, oracle in (("spearman", stats.spearmanr), ("pearson", stats.pearsonr)):
        expected = oracle(cosines, raw["label"]).statistic
        assert TASK.statistic(name, predicted, NO_CLASSES)(once)[0] == pytest.approx(expected, abs=1e-4)


def test_a_model_without_a_pooler_is_whole(encoder: Path, tmp_path: Path) -> None:
    model = load_model(encoder, "feature-extraction")
    assert not [name for name in model.state_dict() if "pooler" in name]
    save_model(model, tiny.make_tokenizer(), tmp_path)
    texts = ["good word1", "bad"]
    expected, found = (np.array(load(folder, threads=1).answer(texts)) for folder in (encoder, tmp_path))
    np.testing.assert_array_equal(found, expected)
