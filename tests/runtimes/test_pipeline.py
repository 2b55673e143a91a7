"""`load_pipeline` against Transformers' own pipeline on the same model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from hfcompress import load_pipeline
from hfcompress.errors import InputError
from hfcompress.results.serving import write_serving
from hfcompress.runtimes.batching import Batching
from hfcompress.runtimes.pipeline import Results
from hfcompress.runtimes.serving import serving_path
from hfcompress.runtimes.settings import Settings
from tests import tiny
from tests.tune.serving import serving_of

TEXTS = [row["text"] for row in tiny.make_reviews(23)]
TAGS = ("O", "B-X", "I-X")
SMALL = Batching(rows=4, tokens=48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny BERT for a task, made once."""
    root, made = tmp_path_factory.mktemp("pipelines"), {}

    def make(task: str) -> Path:
        if task not in made:
            labels = tiny.classes(*TAGS) if task == "token-classification" else None
            made[task] = tiny.save_bert(root / task, head=task, layers=2, labels=labels)
        return made[task]

    return make


def both(folder: Path, task: str, **options: Any) -> tuple[Any, Any]:
    """Ours, in small batches on two streams, and theirs."""
    theirs = transformers.pipeline(task, str(folder), device="cpu", **options)
    ours = load_pipeline(folder, settings=Settings(threads=1, streams=2), batching=SMALL, window=7, **options)
    return ours, theirs


def assert_same(found: Any, expected: Any) -> None:
    """Equal shapes, types, keys and words; numbers up to 1e-5."""
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple) and expected and all(isinstance(value, float) for value in expected):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    elif isinstance(expected, list | tuple):
        assert isinstance(found, type(expected))
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float | np.floating):
        assert found == pytest.approx(expected, abs=1e-5)
    else:
        assert found == expected


PAIRS = [{"text": first, "text_pair": second} for first, second in pairwise(TEXTS)]


@pytest.mark.parametrize("inputs", [TEXTS[0], TEXTS, PAIRS[0], PAIRS, [TEXTS[0]]], ids=lambda value: type(value))
@pytest.mark.parametrize("options", [{}, {"top_k": None}, {"top_k": 1}, {"function_to_apply": "sigmoid"}])
def test_text_classification(folder: Callable[[str], Path], inputs: Any, options: dict[str, Any]) -> None:
    ours, theirs = both(folder("text-classification"), "text-classification")
    assert_same(ours(inputs, **options), theirs(inputs, **options))


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words:UserWarning")
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_token_classification(folder: Callable[[str], Path], strategy: str) -> None:
    ours, theirs = both(folder("token-classification"), "token-classification", aggregation_strategy=strategy)
    for inputs in (TEXTS, TEXTS[0]):
        assert_same(ours(inputs), theirs(inputs))


def test_token_classification_of_a_long_text_in_pieces(folder: Callable[[str], Path]) -> None:
    ours, theirs = both(folder("token-classification"), "ner", aggregation_strategy="simple", stride=4)
    texts = [" ".join(TEXTS[:12]), TEXTS[0], " ".join(TEXTS[5:20])]
    assert_same(ours(texts), theirs(texts))


def test_feature_extraction_gives_as_many_vectors_as_the_text_has_tokens(folder: Callable[[str], Path]) -> None:
    ours, theirs = both(folder("feature-extraction"), "feature-extraction")
    for inputs in (TEXTS, TEXTS[0]):
        assert_same(ours(inputs), theirs(inputs))


def test_fill_mask(folder: Callable[[str], Path]) -> None:
    ours, theirs = both(folder("masked-lm"), "fill-mask")
    masked = [text.replace(text.split()[1], "[MASK]", 1) for text in TEXTS]
    assert_same(ours(masked, top_k=3), theirs(masked, top_k=3))
    assert_same(ours(masked[0], targets=["good", "bad"]), theirs(masked[0], targets=["good", "bad"]))


HAS_ANSWERS = hasattr(transformers, "QuestionAnsweringPipeline")


@pytest.mark.skipif(not HAS_ANSWERS, reason="Transformers 5 has no such pipeline")
@pytest.mark.filterwarnings("ignore:Passing a list of SQuAD examples:FutureWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_question_answering_over_contexts_of_several_windows(folder: Callable[[str], Path]) -> None:
    ours, theirs = both(folder("question-answering"), "question-answering")
    asked = [{"question": "good word1", "context": " ".join(TEXTS[index : index + 1 + 4 * (index % 3)])}
             for index in range(8)]  # fmt: skip
    options = {"max_seq_len": 40, "doc_stride": 8}
    assert_same(ours(asked, **options), theirs(asked, **options))
    assert_same(ours(top_k=2, **asked[0]), theirs(top_k=2, **asked[0]))


@pytest.mark.skipif(HAS_ANSWERS, reason="Transformers 4 has that pipeline")
def test_a_pipeline_that_this_transformers_lacks_is_an_error_with_the_way_out(folder: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match=r"no pipeline for question-answering; use `load\(...\).answer\(...\)`"):
        load_pipeline(folder("question-answering"))


def test_image_classification(tmp_path: Path) -> None:
    from PIL import Image

    model = tiny.save_resnet(tmp_path / "resnet")
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)) for _ in range(9)]
    ours, theirs = both(model, "image-classification")
    for inputs in (images, images[0]):
        assert_same(ours(inputs, top_k=3), theirs(inputs, top_k=3))


@pytest.mark.export
def test_an_onnx_artifact_answers_like_the_torch_model_that_it_was_exported_from(
    folder: Callable[[str], Path], tmp_path: Path
) -> None:
    from hfcompress import export_onnx

    for task in ("text-classification", "feature-extraction"):
        export_onnx(folder(task), tmp_path / task, examples=TEXTS[:2])
        ours = load_pipeline(tmp_path / task, settings=Settings(threads=1, streams=2), batching=SMALL)
        assert_same(ours(TEXTS), transformers.pipeline(task, str(folder(task)), device="cpu")(TEXTS))


def test_an_input_that_is_several_rows_is_refused(folder: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="several rows"):
        load_pipeline(folder("feature-extraction"))([[TEXTS[0], TEXTS[0]]])


class Counted:
    """A dataset as torch knows it, that counts what is read."""

    def __init__(self, rows: int) -> None:
        self.rows, self.read = rows, 0

    def __iter__(self) -> Iterator[str]:
        for row in range(self.rows):
            self.read += 1
            yield TEXTS[row % len(TEXTS)]


def test_a_generator_is_read_a_window_ahead_and_answered_in_its_order(folder: Callable[[str], Path]) -> None:
    ours, theirs = both(folder("text-classification"), "text-classification")
    source = Counted(1000)
    results = ours(text for text in source)
    assert_same([next(results) for _ in range(10)], theirs(TEXTS[:10]))
    assert source.read <= 2 * 7 + 2  # Transformers 5 looks at the first one before it asks for the rest


def test_a_dataset_is_answered_lazily_and_its_length_is_known(folder: Callable[[str], Path]) -> None:
    from datasets import Dataset
    from transformers.pipelines.pt_utils import KeyDataset

    ours, theirs = both(folder("text-classification"), "text-classification")
    results = ours(KeyDataset(Dataset.from_dict({"text": TEXTS}), "text"))
    assert isinstance(results, Results)
    assert len(results) == len(TEXTS)
    assert_same(list(results), theirs(TEXTS))


def test_rows_are_sorted_and_batched_by_tokens_and_a_batch_size_bounds_them(folder: Callable[[str], Path]) -> None:
    shapes: list[tuple[int, ...]] = []
    ours = load_pipeline(folder("text-classification"), batching=SMALL)
    runtime = ours.batches.model.runtime
    real = runtime.predict
    runtime.predict = lambda batch: shapes.append(batch["input_ids"].shape) or real(batch)
    ours(TEXTS)
    assert all(rows <= 4 and (rows * tokens <= 48 or rows == 1) for rows, tokens in shapes)
    assert [tokens for _, tokens in shapes] == sorted((tokens for _, tokens in shapes), reverse=True)
    assert max(rows for rows, _ in shapes) > 1
    shapes.clear()
    ours(TEXTS, batch_size=2)
    assert {rows for rows, _ in shapes} <= {1, 2}


def test_it_is_a_pipeline_of_transformers(folder: Callable[[str], Path]) -> None:
    ours = load_pipeline(folder("text-classification"))
    assert isinstance(ours, transformers.TextClassificationPipeline)
    assert ours.task == "text-classification"


def test_the_settings_and_batches_for_throughput_of_the_serving_file_are_used(
    folder: Callable[[str], Path], tmp_path: Path
) -> None:
    import shutil

    copy = Path(shutil.copytree(folder("text-classification"), tmp_path / "model"))
    serving = serving_of(copy)
    write_serving(serving, serving_path(copy, serving.host))
    ours = load_pipeline(copy)
    assert ours.batches.model.serving == serving.throughput
    assert ours.batches.model.runtime.threads == 1
    assert ours.batches.streams.count == 2
    assert ours.batches.batching == Batching(rows=8, tokens=64)
    assert load_pipeline(copy, batching=SMALL).batches.batching == SMALL
    assert load_pipeline(copy, settings=Settings(threads=1)).batches.streams.count == 1


def test_a_window_without_rows_is_refused(folder: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="window should be 1 or more, got 0"):
        load_pipeline(folder("text-classification"), window=0)
