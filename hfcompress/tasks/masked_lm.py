"""Masked language modelling: which words were masked. What task-agnostic distillation trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from hfcompress.errors import DataError, ModelError
from hfcompress.recipe.tasks import Metric, TaskName
from hfcompress.tasks import metrics
from hfcompress.tasks.base import Batch, Collate
from hfcompress.tasks.columns import Columns, Ragged, ragged_where
from hfcompress.tasks.decisions import Decisions
from hfcompress.tasks.labels import Labels
from hfcompress.tasks.masking import NOT_COUNTED, Masking
from hfcompress.tasks.metrics import Statistic, no_metric
from hfcompress.tasks.text import INPUTS, TextTask, check_texts, encode, load_tokenizer, pad, pad_inputs, stacked

if TYPE_CHECKING:
    from datasets import Dataset


class MaskedLM(TextTask):
    """Masks are made once for each row, when rows are prepared; see `masking`. Rows are their own labels.

    A row that has nothing to mask (an empty text) is left out.
    """

    name: ClassVar[TaskName] = "masked-lm"
    head: ClassVar[str] = "ForMaskedLM"
    labelled_by: ClassVar[str | None] = None
    draws: ClassVar[bool] = True
    answers_rows: ClassVar[bool] = False
    #: The logits of a batch are rows x tokens x vocabulary: 8 x 128 x 30,522 are 125 MB.
    predict_rows: ClassVar[int] = 8

    def model_class(self) -> Any:
        """`AutoModelForMaskedLM`."""
        from transformers import AutoModelForMaskedLM

        return AutoModelForMaskedLM

    def load_processor(self, folder: Path) -> Any:
        """The folder's tokenizer, which has to have a mask token."""
        tokenizer = load_tokenizer(folder)
        if tokenizer.mask_token_id is None:
            raise ModelError(f"the tokenizer in {folder} has no mask token; give a model that was trained with one")
        return tokenizer

    def encode(self, rows: Dataset, labels: Labels, where: str) -> Dataset:
        """Nothing to encode."""
        return rows

    def without_labels(self, rows: Dataset, labels: Labels) -> Dataset:
        """Rows are their own labels."""
        return rows

    def prepare(self, rows: Dataset, processor: Any, max_length: int, seed: int = 0) -> Dataset:
        """Tokenize and mask; adds `labels` and `length`. Batches of 1,000 rows, so memory is flat in their number."""
        masking = Masking(processor.mask_token_id, processor.all_special_ids, processor.vocab_size, seed)

        def tokenize(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
            encoded = encode(processor, batch["text"], None, max_length)
            masked = [masking.of(*each) for each in zip(encoded["input_ids"], batch["row_id"], strict=True)]
            kept = [row for row, found in enumerate(masked) if found is not None]
            made = {name: [encoded[name][row] for row in kept] for name in INPUTS}
            made["input_ids"], made["labels"] = ([each[side] for each in masked if each] for side in (0, 1))
            lengths = [len(ids) for ids in made["input_ids"]]
            return {**made, "row_id": [batch["row_id"][row] for row in kept], "length": lengths}

        prepared = rows.map(tokenize, batched=True, remove_columns=rows.column_names, desc="tokenizing and masking")
        if len(prepared) == 0:
            raise DataError("no row has a word that can be masked; give rows with text")
        return prepared

    def collate(self, processor: Any) -> Collate:
        """Pads on the tokenizer's side with its own padding values, labels with -100."""
        left = processor.padding_side == "left"

        def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
            batch = {**pad_inputs(processor, rows), **stacked(rows, ("row_id",))}
            if "labels" in rows[0]:
                batch["labels"] = pad([row["labels"] for row in rows], NOT_COUNTED, left=left)
            return batch

        return collate

    def preprocess(self, examples: Sequence[Any], processor: Any, max_length: int) -> dict[str, np.ndarray]:
        """Texts that hold the mask token. `masked` (N, T) is 1 where it stands."""
        texts = check_texts(examples, "texts")
        encoded = encode(processor, texts, None, max_length)
        rows = [{name: encoded[name][row] for name in INPUTS} for row in range(len(texts))]
        batch = self.collate(processor)(rows)
        batch["masked"] = (batch["input_ids"] == processor.mask_token_id).astype(np.int64)
        return batch

    def predictions(self, outputs: Mapping[str, np.ndarray], batch: Batch, labels: Labels) -> Columns:
        """Of each masked position the token with the largest logit, and, with labels, `label` and `nll` in nats.

        The logits themselves, a number for each token of the vocabulary, are not kept.
        """
        counted = batch["labels"] != NOT_COUNTED if "labels" in batch else batch["masked"] == 1
        lengths = counted.sum(axis=1).astype(np.int64)
        logits = outputs["logits"][counted]  # (masked positions, vocabulary)
        columns = {"prediction": Ragged(logits.argmax(axis=-1), lengths)}
        if "labels" not in batch:
            return columns
        label = ragged_where(batch["labels"], counted)
        return {**columns, "label": label, "nll": Ragged(_nll(logits, label.values), lengths)}

    def answers(self, kept: Columns, examples: Sequence[Any], processor: Any, labels: Labels) -> list[Any]:
        """The tokens that were masked, a list for each text.

        Raises:
            DataError: a text holds no mask token.
        """
        found = [list(processor.convert_ids_to_tokens(ids)) for ids in _ragged(kept, "prediction").split()]
        for text, tokens in zip(examples, found, strict=True):
            if not tokens:
                raise DataError(f"a text should hold {processor.mask_token} where a word is asked for, got {text!r}")
        return found

    def metrics(self, labels: Labels) -> tuple[Metric, ...]:
        """Both are over all masked positions."""
        return ("accuracy", "perplexity")

    def decisions(self, kept: Columns, labels: Labels) -> Decisions | None:
        """One a masked token; the tokens of a vocabulary are no classes."""
        label, predicted = _ragged(kept, "label"), _ragged(kept, "prediction").values
        return Decisions(predicted, predicted == label.values, label.row, label.place)

    def statistic(self, metric: Metric, kept: Columns, labels: Labels) -> Statistic:
        """`accuracy` of masked positions; `perplexity`: e to the power of their mean negative log likelihood."""
        label, predicted = _ragged(kept, "label"), _ragged(kept, "prediction")
        match metric:
            case "accuracy":
                hits = np.bincount(label.row, weights=label.values == predicted.values, minlength=len(label))
                return metrics.ratio(hits, label.lengths)
            case "perplexity":
                nll = np.bincount(label.row, weights=_ragged(kept, "nll").values, minlength=len(label))
                mean = metrics.ratio(nll, label.lengths)
                return lambda counts: np.exp(mean(counts))
            case _:
                raise no_metric(metric, self.name)


def _nll(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-log softmax at the labels: logits (M, V) and labels (M,) to (M,) float32, computed in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shifted, labels[:, None], axis=-1)[:, 0]
    nll: np.ndarray = (np.log(np.exp(shifted).sum(axis=-1)) - chosen).astype(np.float32)
    return nll


def _ragged(kept: Columns, name: str) -> Ragged:
    return cast("Ragged", kept[name])
