"""Text classification: one text, or a pair of texts, to one label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hfcompress.errors import DataError, ModelError
from hfcompress.recipe.tasks import TaskName
from hfcompress.tasks.base import Collate, Task

if TYPE_CHECKING:
    from datasets import Dataset

#: What a tokenizer gives. All are kept, since a teacher may take one that the student does not.
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
#: One of these holds the vocabulary.
_TOKENIZER_FILES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken")


class TextClassification(Task):
    """Rows are tokenized once; batches are padded to their longest row."""

    name: ClassVar[TaskName] = "text-classification"
    head: ClassVar[str] = "ForSequenceClassification"

    def model_class(self) -> Any:
        """`AutoModelForSequenceClassification`."""
        from transformers import AutoModelForSequenceClassification

        return AutoModelForSequenceClassification

    def load_processor(self, folder: Path) -> Any:
        """The folder's tokenizer."""
        from transformers import AutoTokenizer

        if not any(any(folder.glob(pattern)) for pattern in _TOKENIZER_FILES):
            # Transformers 5 would make an empty one.
            raise ModelError(f"{folder} holds no tokenizer that can be loaded: none of {', '.join(_TOKENIZER_FILES)}")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(f"{folder} holds no tokenizer that can be loaded: {error}") from error
        if tokenizer.pad_token_id is None:
            raise ModelError(f"the tokenizer in {folder} has no pad token; set one: tokenizer.pad_token = ...")
        return tokenizer

    def prepare(self, rows: Dataset, processor: Any, max_length: int) -> Dataset:
        """Tokenize; adds `length` in tokens. Batches of 1,000 rows, so memory is flat in the number of rows."""

        def tokenize(batch: dict[str, list[Any]]) -> dict[str, Any]:
            encoded = _encode(processor, batch["text"], batch.get("text_pair"), max_length)
            return {**encoded, "length": [len(ids) for ids in encoded["input_ids"]]}

        texts = [name for name in ("text", "text_pair") if name in rows.column_names]
        tokenized = rows.map(tokenize, batched=True, remove_columns=texts, desc="tokenizing")
        return tokenized.rename_column("label", "labels")

    def collate(self, processor: Any) -> Collate:
        """Pads on the tokenizer's side with its own padding values."""
        fill = {"input_ids": processor.pad_token_id, "token_type_ids": processor.pad_token_type_id}
        left = processor.padding_side == "left"

        def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
            batch = {name: _pad([row[name] for row in rows], fill.get(name, 0), left) for name in _INPUTS}
            for name in ("labels", "row_id"):
                if name in rows[0]:
                    batch[name] = np.asarray([row[name] for row in rows], dtype=np.int64)
            return batch

        return collate

    def preprocess(self, examples: Sequence[Any], processor: Any, max_length: int) -> dict[str, np.ndarray]:
        """Strings, or (text, text_pair) tuples: all examples the one or all the other."""
        encoded = _encode(processor, *_columns(examples), max_length)
        rows = [{name: encoded[name][row] for name in _INPUTS} for row in range(len(examples))]
        return self.collate(processor)(rows)

    def grid_batch(self, processor: Any, batch: int, sequence: int, seed: int) -> dict[str, np.ndarray]:
        """Random token ids without padding: latency does not depend on which tokens they are."""
        ids = np.random.default_rng(seed).integers(0, processor.vocab_size, size=(batch, sequence), dtype=np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}

    def check_compatible(self, student: Any, teacher: Any) -> str | None:
        """Both tokenizers must give the same ids: their vocabularies and special tokens are compared."""
        if student.get_vocab() != teacher.get_vocab():
            return (
                f"their tokenizers have other vocabularies ({len(student)} and {len(teacher)} tokens), so the same ids "
                "mean other words; choose a teacher with the student's tokenizer"
            )
        if student.all_special_ids != teacher.all_special_ids:
            return "their tokenizers have other special tokens; choose a teacher with the student's tokenizer"
        return None


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


def _encode(tokenizer: Any, texts: list[str], pairs: list[str] | None, max_length: int) -> dict[str, list[list[int]]]:
    # token_type_ids are asked for even where the student takes none: a BERT teacher would see a pair as one segment.
    longest = min(max_length, tokenizer.model_max_length)
    encoded = tokenizer(texts, pairs, truncation=True, max_length=longest, return_token_type_ids=True)
    return {name: encoded[name] for name in _INPUTS}


def _pad(rows: list[list[int]], value: int, left: bool) -> np.ndarray:
    width = max(len(row) for row in rows)
    padded = np.full((len(rows), width), value, dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, width - len(row) if left else 0 : width if left else len(row)] = row
    return padded
