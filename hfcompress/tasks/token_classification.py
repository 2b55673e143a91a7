"""Token classification: a tag for each word of a sentence (named entities, parts of speech)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from hfcompress.errors import DataError, ModelError
from hfcompress.models.folder import label_names, read_config
from hfcompress.recipe.data import Split
from hfcompress.recipe.tasks import Metric, TaskName
from hfcompress.tasks import metrics
from hfcompress.tasks.base import Batch, Collate
from hfcompress.tasks.columns import Columns, Ragged, ragged_where
from hfcompress.tasks.decisions import Decisions
from hfcompress.tasks.entities import is_iob, shared_entities
from hfcompress.tasks.label_columns import check_same_classes, classes_of, inner_feature, lists_of
from hfcompress.tasks.labels import Labels, align, classes_config
from hfcompress.tasks.metrics import Statistic, no_metric
from hfcompress.tasks.text import INPUTS, TextTask, load_tokenizer, longest, pad, pad_inputs, stacked

if TYPE_CHECKING:
    from datasets import Dataset

#: What a loss does not count.
_NOT_COUNTED = -100
#: Byte-level tokenizers that take words as they stand in the middle of a text only when they are told to.
_NEEDS_PREFIX_SPACE = frozenset({"roberta", "deberta", "longformer", "bart", "led", "gpt2", "bloom", "modernbert"})


class TokenClassification(TextTask):
    """The first piece of each word carries its tag; further pieces, special tokens and padding are not counted.

    Words beyond `max_length` pieces are cut: they are neither learned nor scored.
    """

    name: ClassVar[TaskName] = "token-classification"
    head: ClassVar[str] = "ForTokenClassification"
    labelled_by: ClassVar[str | None] = "tags"
    answers_rows: ClassVar[bool] = False

    def model_class(self) -> Any:
        """`AutoModelForTokenClassification`."""
        from transformers import AutoModelForTokenClassification

        return AutoModelForTokenClassification

    def load_processor(self, folder: Path) -> Any:
        """The folder's tokenizer, which has to know which word a piece comes from."""
        prefix = read_config(folder).get("model_type") in _NEEDS_PREFIX_SPACE
        tokenizer = load_tokenizer(folder, **({"add_prefix_space": True} if prefix else {}))
        if not tokenizer.is_fast:
            raise ModelError(
                f"the tokenizer in {folder} does not say which word a piece comes from, as it is not a fast one; "
                "give a model with a tokenizer.json"
            )
        return tokenizer

    def labels_of(self, rows: Dataset, where: str, model: Labels | None) -> Labels:
        """The tags of the column `tags`: names, ids 0..n-1, or lists of a `ClassLabel`."""
        inner = inner_feature(rows.features["tags"])
        if inner is None:
            kind = getattr(rows.features["tags"], "dtype", "something else")
            raise DataError(f"{where} should hold a list of tags a row, one for each word, got {kind}")
        names = getattr(inner, "names", None)
        if names is not None:
            return Labels(tuple(names), {index: index for index in range(len(names))}, None)
        found = classes_of(itertools.chain.from_iterable(lists_of(rows, "tags", where)), where)
        return Labels(found.names, found.ids, None)

    def labels_of_model(self, config: Mapping[str, Any]) -> Labels:
        """The tags in the order of the outputs."""
        return Labels(label_names(config), {}, None)

    def align(self, labels: Labels, model: Labels) -> Labels | None:
        """By name, or by number where one side has no names."""
        return align(labels, model)

    def head_config(self, labels: Labels) -> dict[str, Any]:
        """One output a tag."""
        return classes_config(labels)

    def check_splits(self, splits: Mapping[Split, Dataset]) -> None:
        """Every split lists the same tags in the same order."""
        check_same_classes(splits, "tags")

    def encode(self, rows: Dataset, labels: Labels, where: str) -> Dataset:
        """Tags to ids, one for each word."""

        def ids(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
            encoded = []
            for row, words, tags in zip(batch["row_id"], batch["tokens"], batch["tags"], strict=True):
                _check_row(words, tags, where, row)
                encoded.append(labels.encode_classes([(row, tag) for tag in tags], where).tolist())
            return {"tags": encoded}

        _check_words(rows, where)
        return rows.map(ids, batched=True, features=_features(rows), desc="encoding tags")

    def without_labels(self, rows: Dataset, labels: Labels) -> Dataset:
        """-100 for each word."""

        def none(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
            return {"tags": [[_NOT_COUNTED] * len(words) for words in batch["tokens"]]}

        _check_words(rows, "the unlabelled data")
        return rows.map(none, batched=True, features=_features(rows), desc="encoding tags")

    def prepare(self, rows: Dataset, processor: Any, max_length: int, seed: int = 0) -> Dataset:
        """Tokenize; adds `length` in tokens. Batches of 1,000 rows, so memory is flat in the number of rows."""

        def tokenize(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
            encoded, firsts = _encode(processor, batch["tokens"], max_length)
            labels = [_spread(tags, first) for tags, first in zip(batch["tags"], firsts, strict=True)]
            return {**encoded, "labels": labels, "length": [len(ids) for ids in encoded["input_ids"]]}

        return rows.map(tokenize, batched=True, remove_columns=["tokens", "tags"], desc="tokenizing")

    def collate(self, processor: Any) -> Collate:
        """Pads on the tokenizer's side with its own padding values, labels with -100."""
        left = processor.padding_side == "left"

        def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
            batch = {**pad_inputs(processor, rows), **stacked(rows, ("row_id",))}
            for name, fill in (("labels", _NOT_COUNTED), ("word_starts", 0)):
                if name in rows[0]:
                    batch[name] = pad([row[name] for row in rows], fill, left=left)
            return batch

        return collate

    def preprocess(self, examples: Sequence[Any], processor: Any, max_length: int) -> dict[str, np.ndarray]:
        """Sentences as lists of words. `word_starts` (N, T) is 1 at the first piece of each word."""
        _check_sentences(examples)
        encoded, firsts = _encode(processor, [list(words) for words in examples], max_length)
        starts = [[int(word is not None) for word in first] for first in firsts]
        rows = [
            {**{name: encoded[name][row] for name in INPUTS}, "word_starts": starts[row]}
            for row in range(len(examples))
        ]
        return self.collate(processor)(rows)

    def predictions(self, outputs: Mapping[str, np.ndarray], batch: Batch, labels: Labels) -> Columns:
        """`prediction` and `label`: tag ids of the words of each row. Logits are not kept."""
        kept = batch["word_starts"] == 1 if "word_starts" in batch else batch["labels"] != _NOT_COUNTED
        columns = {"prediction": ragged_where(outputs["logits"].argmax(axis=-1), kept)}
        return {**columns, "label": ragged_where(batch["labels"], kept)} if "labels" in batch else columns

    def answers(self, kept: Columns, examples: Sequence[Any], processor: Any, labels: Labels) -> list[Any]:
        """The tag of each word of each sentence.

        Raises:
            DataError: a sentence is too long for an answer to each of its words.
        """
        predicted = cast("Ragged", kept["prediction"]).split()
        for words, tags in zip(examples, predicted, strict=True):
            if len(tags) < len(words):
                raise DataError(
                    f"a sentence has {len(words)} words and only {len(tags)} of them fit; split it into shorter ones"
                )
        return [[labels.names[tag] for tag in tags] for tags in predicted]

    def metrics(self, labels: Labels) -> tuple[Metric, ...]:
        """Entities are counted where the tags are of IOB2."""
        return ("f1", "accuracy", "f1_macro") if is_iob(labels.names) else ("accuracy", "f1_macro")

    def decisions(self, kept: Columns, labels: Labels) -> Decisions | None:
        """One a word."""
        label, predicted = cast("Ragged", kept["label"]), cast("Ragged", kept["prediction"])
        return Decisions.of_classes(predicted.values, label.values, label.row, label.place)

    def statistic(self, metric: Metric, kept: Columns, labels: Labels) -> Statistic:
        """`f1` of entities (micro-averaged, as seqeval's), `accuracy` of words, `f1_macro` over the tags of words."""
        label, predicted = cast("Ragged", kept["label"]), cast("Ragged", kept["prediction"])
        match metric:
            case "f1":
                return metrics.f1_of(*shared_entities(label, predicted, labels.names).T)
            case "accuracy":
                hits = np.bincount(label.row, weights=label.values == predicted.values, minlength=len(label))
                return metrics.ratio(hits, label.lengths)
            case "f1_macro":
                return metrics.f1_macro(label.values, predicted.values, label.lengths)
            case _:
                raise no_metric(metric, self.name)


def _features(rows: Dataset) -> Any:
    from datasets import Features, Value
    from datasets import Sequence as Lists

    return Features({**rows.features, "tags": Lists(Value("int64"))})


def _check_words(rows: Dataset, where: str) -> None:
    inner = inner_feature(rows.features["tokens"])
    if str(getattr(inner, "dtype", "")) not in ("string", "large_string"):
        raise DataError(
            f"the role `tokens` of {where} should hold a list of words a row, got {rows.features['tokens']}"
        )


def _check_row(words: list[str] | None, tags: list[Any] | None, where: str, row: int) -> None:
    if words is None or tags is None or len(words) != len(tags):
        counts = " and ".join("none" if each is None else str(len(each)) for each in (words, tags))
        raise DataError(f"{where} should hold a tag for each word, got {counts} in row {row}")
    if not words or None in words:
        raise DataError(f"{where} has no words in row {row}; remove such rows")


def _check_sentences(examples: Sequence[Any]) -> None:
    for words in [examples] if isinstance(examples, str) or not len(examples) else examples:
        if isinstance(words, str) or not len(words) or not all(isinstance(word, str) for word in words):
            raise DataError(f"examples should be a list of sentences, each a list of words, got {words!r}")


def _encode(
    tokenizer: Any, sentences: list[list[str]], max_length: int
) -> tuple[dict[str, list[list[int]]], list[list[int | None]]]:
    """`INPUTS` of each sentence, and for each piece the number of the word that it is the first piece of, or None."""
    encoded = tokenizer(
        sentences,
        is_split_into_words=True,
        truncation=True,
        max_length=longest(tokenizer, max_length),
        return_token_type_ids=True,
    )
    firsts = [_first_pieces(encoded.word_ids(row)) for row in range(len(sentences))]
    return {name: encoded[name] for name in INPUTS}, firsts


def _first_pieces(words: Sequence[int | None]) -> list[int | None]:
    before = [None, *words[:-1]]
    return [word if word != last else None for word, last in zip(words, before, strict=True)]


def _spread(tags: Sequence[int], first: Sequence[int | None]) -> list[int]:
    return [_NOT_COUNTED if word is None else tags[word] for word in first]
