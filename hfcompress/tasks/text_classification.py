"""Text classification: one text, or a pair of texts, to one class, several classes, or a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hfcompress.errors import DataError
from hfcompress.models.folder import Problem
from hfcompress.recipe.tasks import TaskName
from hfcompress.tasks.base import Collate
from hfcompress.tasks.classification import Classification
from hfcompress.tasks.text import INPUTS, TextTask, encode, pad_inputs, stacked

if TYPE_CHECKING:
    from datasets import Dataset


class TextClassification(TextTask, Classification):
    """Rows are tokenized once; batches are padded to their longest row."""

    name: ClassVar[TaskName] = "text-classification"
    head: ClassVar[str] = "ForSequenceClassification"
    problems: ClassVar[tuple[Problem, ...]] = (
        "single_label_classification",
        "multi_label_classification",
        "regression",
    )

    def model_class(self) -> Any:
        """`AutoModelForSequenceClassification`."""
        from transformers import AutoModelForSequenceClassification

        return AutoModelForSequenceClassification

    def prepare(self, rows: Dataset, processor: Any, max_length: int, seed: int = 0) -> Dataset:
        """Tokenize; adds `length` in tokens. Batches of 1,000 rows, so memory is flat in the number of rows."""

        def tokenize(batch: dict[str, list[Any]]) -> dict[str, Any]:
            encoded = encode(processor, batch["text"], batch.get("text_pair"), max_length)
            return {**encoded, "length": [len(ids) for ids in encoded["input_ids"]]}

        texts = [name for name in ("text", "text_pair") if name in rows.column_names]
        tokenized = rows.map(tokenize, batched=True, remove_columns=texts, desc="tokenizing")
        return tokenized.rename_column("label", "labels")

    def collate(self, processor: Any) -> Collate:
        """Pads on the tokenizer's side with its own padding values."""

        def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
            return {**pad_inputs(processor, rows), **stacked(rows, ("labels", "row_id"))}

        return collate

    def preprocess(self, examples: Sequence[Any], processor: Any, max_length: int) -> dict[str, np.ndarray]:
        """Strings, or (text, text_pair) tuples: all examples the one or all the other."""
        encoded = encode(processor, *_columns(examples), max_length)
        rows = [{name: encoded[name][row] for name in INPUTS} for row in range(len(examples))]
        return self.collate(processor)(rows)


def _columns(examples: Sequence[Any]) -> tuple[list[str], list[str] | None]:
    """Texts and, for pairs, their second texts.

    Raises:
        DataError: no examples, or some that are neither a string nor a pair of strings, or both kinds.
    """
    if isinstance(examples, str) or not examples:
        raise DataError(f"examples should be a list of strings or of pairs of strings, got {examples!r}")
    if all(isinstance(example, str) for example in examples):
        return list(examples), None
    for example in examples:
        pair = () if isinstance(example, str) else tuple(example)
        if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise DataError(f"an example should be a string, or all of them pairs of strings, got {example!r}")
    return [first for first, _ in examples], [second for _, second in examples]
