"""Extractive question answering: the words of a context that answer a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from hfcompress.errors import DataError, ModelError
from hfcompress.recipe.tasks import Metric, TaskName
from hfcompress.tasks import metrics, squad
from hfcompress.tasks.base import Batch, Collate
from hfcompress.tasks.columns import Columns
from hfcompress.tasks.decisions import Decisions
from hfcompress.tasks.labels import Labels
from hfcompress.tasks.metrics import Statistic, no_metric
from hfcompress.tasks.text import TextTask, load_tokenizer, pad, pad_inputs, stacked
from hfcompress.tasks.windows import NO_ANSWER, OUTSIDE, Span, Window, best_spans, span_of, windows_of

if TYPE_CHECKING:
    from datasets import Dataset

#: What a loss does not count.
_NOT_COUNTED = -100
_POSITIONS = ("start_positions", "end_positions")


class QuestionAnswering(TextTask):
    """Contexts that do not fit are cut into overlapping windows, each a prepared row with a row id of its own.

    A window that does not hold the answer learns the place of the first token (`[CLS]`), which is also what questions
    without an answer (SQuAD 2.0) learn. A split with such questions is answered with nothing where that scores higher
    than every span; elsewhere, as published for SQuAD 1.1, the best span is the answer.
    """

    name: ClassVar[TaskName] = "question-answering"
    head: ClassVar[str] = "ForQuestionAnswering"
    outputs: ClassVar[tuple[str, ...]] = ("start_logits", "end_logits")
    labelled_by: ClassVar[str | None] = None
    answers_rows: ClassVar[bool] = False

    def model_class(self) -> Any:
        """`AutoModelForQuestionAnswering`."""
        from transformers import AutoModelForQuestionAnswering

        return AutoModelForQuestionAnswering

    def load_processor(self, folder: Path) -> Any:
        """The folder's tokenizer, which has to know which characters a token comes from."""
        tokenizer = load_tokenizer(folder)
        if not tokenizer.is_fast:
            raise ModelError(
                f"the tokenizer in {folder} does not say which characters a token comes from, as it is not a fast one; "
                "give a model with a tokenizer.json"
            )
        return tokenizer

    def encode(self, rows: Dataset, labels: Labels, where: str) -> Dataset:
        """Checks that each answer stands in its context where it says; then only the first is learned."""

        def spans(batch: Mapping[str, list[Any]]) -> dict[str, list[list[int]]]:
            columns = zip(batch["answers"], batch["context"], batch["row_id"], strict=True)
            return {"span": [_span(answers, context, where, row) for answers, context, row in columns]}

        return rows.map(spans, batched=True, remove_columns=["answers"], features=_features(rows), desc="answers")

    def without_labels(self, rows: Dataset, labels: Labels) -> Dataset:
        """A span of -100."""

        def none(batch: Mapping[str, list[Any]]) -> dict[str, list[list[int]]]:
            return {"span": [[_NOT_COUNTED, _NOT_COUNTED]] * len(batch["row_id"])}

        return rows.map(none, batched=True, features=_features(rows), desc="answers")

    def prepare(self, rows: Dataset, processor: Any, max_length: int, seed: int = 0) -> Dataset:
        """Tokenize into windows; adds `start_positions`, `end_positions`, `offsets`, `example_id` and `length`."""

        def tokenize(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
            found = windows_of(processor, batch["question"], batch["context"], max_length, batch["row_id"])
            spans = [_positions(window, *batch["span"][window.example]) for window in found]
            return {
                **_columns(found),
                "example_id": [batch["row_id"][window.example] for window in found],
                **{name: [span[side] for span in spans] for side, name in enumerate(_POSITIONS)},
                "length": [len(window.offsets) for window in found],
            }

        prepared = rows.map(tokenize, batched=True, remove_columns=rows.column_names, desc="tokenizing")
        return prepared.add_column("row_id", np.arange(len(prepared)))

    def collate(self, processor: Any) -> Collate:
        """Pads on the tokenizer's side with its own padding values, `offsets` with -1."""
        left = processor.padding_side == "left"

        def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
            batch = {**pad_inputs(processor, rows), **stacked(rows, ("row_id", "example_id", *_POSITIONS))}
            batch["offsets"] = pad([row["offsets"] for row in rows], OUTSIDE, left=left)
            shift = batch["input_ids"].shape[1] - np.array([len(row["input_ids"]) for row in rows]) if left else 0
            for name in set(_POSITIONS) & set(batch):
                batch[name] = np.where(batch[name] == _NOT_COUNTED, _NOT_COUNTED, batch[name] + shift)
            return batch

        return collate

    def preprocess(self, examples: Sequence[Any], processor: Any, max_length: int) -> dict[str, np.ndarray]:
        """(question, context) pairs. `example_id` says which example a window is of."""
        questions, contexts = _pairs(examples)
        found = windows_of(processor, questions, contexts, max_length)
        columns = {**_columns(found), "example_id": [window.example for window in found]}
        return self.collate(processor)([{name: columns[name][row] for name in columns} for row in range(len(found))])

    def predictions(self, outputs: Mapping[str, np.ndarray], batch: Batch, labels: Labels) -> Columns:
        """Of each window the best span, as characters of the context, its score, and that of no answer."""
        starts, ends = outputs["start_logits"], outputs["end_logits"]
        offsets, rows = batch["offsets"], np.arange(len(starts))
        first, last, score = best_spans(starts, ends, offsets[:, :, 0] != OUTSIDE)
        cls = (batch["attention_mask"] == 1).argmax(axis=1)  # `NO_ANSWER`, behind padding on the left
        return {
            "example_id": batch["example_id"],
            "start": offsets[rows, first, 0],
            "end": offsets[rows, last, 1],
            "score": score,
            "no_answer_score": (starts[rows, cls] + ends[rows, cls]).astype(np.float64),
        }

    def gather(self, kept: Columns, rows: Dataset) -> Columns:
        """`prediction`: the answer; `exact_match` and `f1` against the gold answers of each row."""
        best = _best_windows(kept)
        gold = [list(answers["text"]) for answers in rows["answers"]]
        may_be_none = not all(gold)
        row_ids = np.asarray(rows["row_id"])
        found = [
            _text(best[row_id], context, may_be_none=may_be_none)
            for row_id, context in zip(row_ids.tolist(), rows["context"], strict=True)
        ]
        pairs = list(zip(found, gold, strict=True))
        return {
            "row_id": row_ids,
            "prediction": np.array(found, dtype=object),
            "exact_match": np.array([squad.exact_match(*pair) for pair in pairs]),
            "f1": np.array([squad.f1(*pair) for pair in pairs]),
        }

    def answers(self, kept: Columns, examples: Sequence[Any], processor: Any, labels: Labels) -> list[Any]:
        """The answer to each question, never nothing: whether there may be none, a model does not say."""
        best = _best_windows(kept)
        return [_text(best[row], context, may_be_none=False) for row, (_, context) in enumerate(examples)]

    def metrics(self, labels: Labels) -> tuple[Metric, ...]:
        """Those of SQuAD."""
        return ("f1", "exact_match")

    def decisions(self, kept: Columns, labels: Labels) -> Decisions | None:
        """One a question: right when it is exactly a gold answer."""
        return Decisions.of_rows(cast("np.ndarray", kept["prediction"]), cast("np.ndarray", kept["exact_match"]) == 1)

    def statistic(self, metric: Metric, kept: Columns, labels: Labels) -> Statistic:
        """Means over questions."""
        if metric not in ("f1", "exact_match"):
            raise no_metric(metric, self.name)
        return metrics.mean(cast("np.ndarray", kept[metric]))


#: The best span of an example (first and last character, score), and the score of no answer.
_Best = tuple[int, int, float, float]


def _best_windows(kept: Columns) -> dict[int, _Best]:
    best: dict[int, _Best] = {}
    names = ("example_id", "start", "end", "score", "no_answer_score")
    for example, start, end, score, none in zip(*(cast("np.ndarray", kept[name]) for name in names), strict=True):
        known = best.get(int(example))
        # No answer is what every window has to say; the smallest score decides, as in the published script.
        none = float(none) if known is None else min(known[3], float(none))
        span = (int(start), int(end), float(score)) if known is None or score > known[2] else known[:3]
        best[int(example)] = (*span, none)
    return best


def _text(best: _Best, context: str, *, may_be_none: bool) -> str:
    start, end, score, none = best
    if not np.isfinite(score) or (may_be_none and none > score):
        return ""
    return context[start:end]


def _columns(found: Sequence[Window]) -> dict[str, list[Any]]:
    inputs = {name: [window.inputs[name] for window in found] for name in found[0].inputs}
    return {**inputs, "offsets": [window.offsets.tolist() for window in found]}


def _positions(window: Window, start: int, end: int) -> Span:
    """The answer's tokens in a window; a span of no characters is no answer, and one of -100 no label."""
    if start == _NOT_COUNTED:
        return Span(_NOT_COUNTED, _NOT_COUNTED)
    return span_of(window, start, end) if end > start else Span(NO_ANSWER, NO_ANSWER)


def _span(answers: Any, context: str, where: str, row: int) -> list[int]:
    """First and last (excluded) character of the first answer; 0, 0 where there is none."""
    texts, starts = (answers.get(name) if isinstance(answers, Mapping) else None for name in ("text", "answer_start"))
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        raise DataError(
            f"{where} should hold answers as {{text: [...], answer_start: [...]}}, as SQuAD does, got {answers!r} in "
            f"row {row}"
        )
    for text, start in zip(texts, starts, strict=True):
        if not text or context[start : start + len(text)] != text:
            raise DataError(
                f"{where} has the answer {text!r} in row {row}, which does not stand in its context at character "
                f"{start}; correct `answer_start`, or remove the row"
            )
    return [starts[0], starts[0] + len(texts[0])] if texts else [0, 0]


def _features(rows: Dataset) -> Any:
    from datasets import Features, Value
    from datasets import Sequence as Lists

    kept = {name: feature for name, feature in rows.features.items() if name != "answers"}
    return Features({**kept, "span": Lists(Value("int64"))})


def _pairs(examples: Sequence[Any]) -> tuple[list[str], list[str]]:
    for example in [examples] if isinstance(examples, str) or not len(examples) else examples:
        pair = () if isinstance(example, str) else tuple(example)
        if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise DataError(f"examples should be a list of (question, context) pairs, got {example!r}")
    return [question for question, _ in examples], [context for _, context in examples]
