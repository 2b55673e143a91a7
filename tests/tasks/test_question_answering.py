"""Windows, spans and answers against brute force, and scores as SQuAD's script has them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress import load
from hfcompress.errors import DataError
from hfcompress.tasks import get_task, squad
from hfcompress.tasks.labels import NO_CLASSES
from hfcompress.tasks.windows import LONGEST_ANSWER, best_spans, windows_of
from tests import tiny

TASK = get_task("question-answering")
WORDS = [*tiny.GOOD, *tiny.FILLER[:8]]


def rows(*examples: tuple[str, str, str | None]) -> Dataset:
    """(question, context, answer) as SQuAD has them; the answer is where it first stands."""
    answers = [
        {"text": [], "answer_start": []}
        if answer is None
        else {"text": [answer], "answer_start": [context.index(answer)]}
        for _, context, answer in examples
    ]
    questions, contexts, _ = zip(*examples, strict=True)
    columns = {"question": questions, "context": contexts, "answers": answers, "row_id": range(10, 10 + len(examples))}
    return Dataset.from_dict({name: list(values) for name, values in columns.items()})


def prepared(made: Dataset, tokenizer: Any, max_length: int = 16) -> Dataset:
    return TASK.prepare(TASK.encode(made, NO_CLASSES, "split `train`"), tokenizer, max_length)


@settings(deadline=None, max_examples=40)
@given(context=st.lists(st.sampled_from(WORDS), min_size=1, max_size=40), data=st.data(), left=st.booleans())
def test_a_window_learns_the_answer_where_it_holds_it_and_the_first_token_elsewhere(
    context: list[str], data: st.DataObject, left: bool
) -> None:
    first = data.draw(st.integers(0, len(context) - 1))
    last = data.draw(st.integers(first, min(first + 2, len(context) - 1)))
    text, answer = " ".join(context), " ".join(context[first : last + 1])
    begins = text.index(answer)
    tokenizer = tiny.make_tokenizer()
    tokenizer.padding_side = "left" if left else "right"
    made = prepared(rows(("word1 word2", text, answer)), tokenizer)
    batch = TASK.collate(tokenizer)([made[row] for row in range(len(made))])
    held = 0
    for row in range(len(made)):
        start, end = batch["start_positions"][row], batch["end_positions"][row]
        if batch["offsets"][row, start, 0] == -1:
            assert start == end == np.flatnonzero(batch["attention_mask"][row])[0]
            seen = batch["offsets"][row][batch["offsets"][row, :, 0] >= 0]
            assert seen[0, 0] > begins or seen[-1, 1] < begins + len(answer), "the window lacks a part of the answer"
        else:
            held += 1
            assert text[batch["offsets"][row, start, 0] : batch["offsets"][row, end, 1]] == answer
            assert tokenizer.decode(batch["input_ids"][row, start : end + 1]) == answer
    assert held >= 1
    assert set(batch["example_id"].tolist()) == {10}
    assert batch["row_id"].tolist() == list(range(len(made)))


def test_windows_cover_the_context_and_overlap_by_a_third() -> None:
    context = " ".join(f"word{index % 40}" for index in range(30))
    found = windows_of(tiny.make_tokenizer(), ["good bad"], [context], 18)
    spans = [window.offsets[window.offsets[:, 0] >= 0] for window in found]
    assert spans[0][0, 0] == 0
    assert spans[-1][-1, 1] == len(context)
    for before, after in itertools.pairwise(spans):
        assert len(set(before[:, 0]) & set(after[:, 0])) == 6


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 999), tokens=st.integers(1, 40))
def test_the_best_span_is_that_of_a_search_over_all(seed: int, tokens: int) -> None:
    rng = np.random.default_rng(seed)
    starts, ends = rng.normal(size=(2, 3, tokens)).astype(np.float32)
    inside = rng.random((3, tokens)) < 0.7
    first, last, score = best_spans(starts, ends, inside)
    for row in range(3):
        sums = {
            (i, j): float(starts[row, i]) + float(ends[row, j])
            for i in range(tokens)
            for j in range(i, min(i + LONGEST_ANSWER, tokens))
            if inside[row, i] and inside[row, j]
        }
        if not sums:
            assert score[row] == -np.inf
            continue
        assert score[row] == pytest.approx(max(sums.values()))
        assert sums[first[row], last[row]] == pytest.approx(max(sums.values()))


def answered(made: Dataset, sure: dict[str, float], none: float = -9.0) -> Any:
    """What a model that is as sure of each word as `sure` says would score."""
    tokenizer = tiny.make_tokenizer()
    windows = prepared(made, tokenizer)
    batch = TASK.collate(tokenizer)([windows[row] for row in range(len(windows))])
    scores = np.zeros(len(tokenizer), dtype=np.float32)
    for word, score in sure.items():
        scores[tokenizer.convert_tokens_to_ids(word)] = score
    logits = scores[batch["input_ids"]]
    logits[:, 0] = none
    kept = TASK.predictions({"start_logits": logits, "end_logits": logits}, batch, NO_CLASSES)
    return TASK.gather({"row_id": batch["row_id"], **kept}, made)


def test_the_answer_is_the_best_span_over_all_windows() -> None:
    long = " ".join(["word3"] * 20 + ["great"] + ["word4"] * 20)
    found = answered(rows(("word1", long, "great"), ("word1", "word5 fine", "fine")), {"great": 5, "fine": 4})
    assert found["prediction"].tolist() == ["great", "fine"]
    assert found["row_id"].tolist() == [10, 11]
    assert found["exact_match"].tolist() == [1, 1]


def test_no_answer_is_given_only_where_questions_may_have_none() -> None:
    made = rows(("word1", "word2 great", "great"), ("word1", "word3 word4", None))
    found = answered(made, {"great": 5}, none=1.0)
    assert found["prediction"].tolist() == ["great", ""]
    assert found["f1"].tolist() == [1, 1]
    sure = answered(made.select([0]), {"great": 5}, none=99.0)
    assert sure["prediction"].tolist() == ["great"]


@pytest.mark.parametrize(
    "answer, gold, exact, f1",
    [
        ("The Cat.", ["cat"], 1, 1),
        ("a black cat", ["the cat"], 0, 2 / 3),
        ("black cat", ["white dog", "black cat sleeps"], 0, 0.8),
        ("cat cat", ["cat"], 0, 2 / 3),
        ("", [], 1, 1),
        ("cat", [], 0, 0),
        ("", ["cat"], 0, 0),
        ("The", ["the"], 1, 1),  # nothing is left of either, as in the script of SQuAD 2.0
        ("U.S.", ["us"], 1, 1),
        ("dog", ["cat"], 0, 0),
    ],
)
def test_scores_by_hand(answer: str, gold: list[str], exact: float, f1: float) -> None:
    assert squad.exact_match(answer, gold) == exact
    assert squad.f1(answer, gold) == pytest.approx(f1)


@pytest.mark.parametrize(
    "answers, message",
    [
        ({"text": ["great"], "answer_start": [0]}, "the answer 'great' in row 10, .* at character 0; correct"),
        ({"text": ["word2"], "answer_start": []}, "as SQuAD does"),
        ([{"text": "word2", "start": 0}], "as SQuAD does"),
    ],
)
def test_answers_that_cannot_be_learned_are_named(answers: Any, message: str) -> None:
    made = Dataset.from_dict({"question": ["q"], "context": ["word2 great"], "answers": [answers], "row_id": [10]})
    with pytest.raises(DataError, match=message):
        TASK.encode(made, NO_CLASSES, "split `train`")


def test_a_question_that_fills_a_window_is_refused() -> None:
    with pytest.raises(DataError, match="the question in row 10 has 9 tokens, more than half of the 16"):
        prepared(rows(("good " * 9, "word1 fine", "fine")), tiny.make_tokenizer())


def test_rows_without_answers_learn_nowhere() -> None:
    made = TASK.without_labels(rows(("word1", "word2 fine", "fine")).remove_columns("answers"), NO_CLASSES)
    batch = TASK.collate(tiny.make_tokenizer())([TASK.prepare(made, tiny.make_tokenizer(), 16)[0]])
    assert batch["start_positions"].tolist() == batch["end_positions"].tolist() == [-100]


def test_a_loaded_model_answers_with_words_of_the_context(tmp_path: Path) -> None:
    model = load(tiny.save_bert(tmp_path, head="question-answering"), threads=1)
    long = " ".join(f"word{index % 40}" for index in range(90))
    examples = [("good", "word1 word2 word3"), ("bad", long)]
    found = model.answer(examples)
    for (_, context), answer in zip(examples, found, strict=True):
        assert answer
        assert answer in context
    with pytest.raises(DataError, match=r"\(question, context\) pairs, got 'what'"):
        model.answer(["what"])
