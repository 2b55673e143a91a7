"""What tasks on text share: the tokenizer, its batches, and what makes two tokenizers compatible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.errors import DataError, ModelError
from hfcompress.tasks.base import Task

#: What a tokenizer gives. All are kept, since a teacher may take one that the student does not.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
#: One of these holds the vocabulary.
_TOKENIZER_FILES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken")


class TextTask(Task):
    """Rows are tokenized once; batches are padded to their longest row."""

    def load_processor(self, folder: Path) -> Any:
        """The folder's tokenizer."""
        return load_tokenizer(folder)

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


def load_tokenizer(folder: Path, **options: Any) -> Any:
    """The tokenizer in a model folder.

    Raises:
        ModelError: there is none, or it cannot pad.
    """
    from transformers import AutoTokenizer

    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZER_FILES):
        # Transformers 5 would make an empty one.
        raise ModelError(f"{folder} holds no tokenizer that can be loaded: none of {', '.join(_TOKENIZER_FILES)}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{folder} holds no tokenizer that can be loaded: {error}") from error
    if tokenizer.pad_token_id is None:
        raise ModelError(f"the tokenizer in {folder} has no pad token; set one: tokenizer.pad_token = ...")
    return tokenizer


def longest(tokenizer: Any, max_length: int) -> int:
    """Tokens after which text is cut: what the user says, and no more than the model takes."""
    return min(max_length, int(tokenizer.model_max_length))


def encode(tokenizer: Any, texts: list[str], pairs: list[str] | None, max_length: int) -> dict[str, list[list[int]]]:
    """Texts, or pairs of texts, to the lists of `INPUTS`.

    `token_type_ids` are asked for even where the student takes none: a BERT teacher would see a pair as one segment.
    """
    cut = longest(tokenizer, max_length)
    encoded = tokenizer(texts, pairs, truncation=True, max_length=cut, return_token_type_ids=True)
    return {name: encoded[name] for name in INPUTS}


def pad_inputs(tokenizer: Any, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """`INPUTS` of rows, each (N, T) int64, padded on the tokenizer's side with its own padding values."""
    fill = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    left = tokenizer.padding_side == "left"
    return {name: pad([row[name] for row in rows], fill.get(name, 0), left=left) for name in INPUTS}


def pad(rows: Sequence[Sequence[Any]], value: int, *, left: bool) -> np.ndarray:
    """Rows of unequal length to one array (N, T, ...) int64, filled up with `value`."""
    width = max(len(row) for row in rows)
    padded = np.full((len(rows), width, *np.shape(rows[0])[1:]), value, dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, width - len(row) if left else 0 : width if left else len(row)] = row
    return padded


def stacked(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of `names` that rows have, as arrays: int64 of integers, float32 of other numbers."""
    arrays = {name: np.asarray([row[name] for row in rows]) for name in names if name in rows[0]}
    return {
        name: array.astype(np.int64 if np.issubdtype(array.dtype, np.integer) else np.float32)
        for name, array in arrays.items()
    }


def check_texts(examples: Sequence[Any], what: str = "strings") -> list[str]:
    """A user's texts.

    Raises:
        DataError: none, or something else.
    """
    if isinstance(examples, str) or not len(examples) or not all(isinstance(example, str) for example in examples):
        raise DataError(f"examples should be a list of {what}, got {examples!r}")
    return list(examples)
