"""What is kept of a teacher's outputs: without padding on disk, put back into a padded batch when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hfcompress.errors import InputError, TrainingDivergedError
from hfcompress.training.heads import IGNORED, Embedding

#: Outputs that training compares; a model may give others.
_OUTPUTS = ("logits", "start_logits", "end_logits", "embedding")
#: Of two dimensions (rows, tokens), where `logits` of two are (rows, classes).
_SPANS = ("start_logits", "end_logits")
#: Tokens whose distribution over a large vocabulary is in memory at once.
_AT_ONCE = 1024


@dataclass(frozen=True)
class TopK:
    """Keep the `k` largest of each distribution, softened by `temperature`, and the mass of the others as one number.

    Raises:
        InputError: `k` below 1, or a temperature that is not positive.
    """

    k: int
    temperature: float

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"teacher_cache_top_k should be 1 or more, got {self.k}; 64 is usual for a vocabulary")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(f"temperature should be a number above 0, got {self.temperature}; 1 to 8 is usual")


@dataclass(frozen=True)
class Keep:
    """What is kept.

    Attributes:
        dtype: of the numbers on disk; they are read back as float32.
        topk: None: all logits.
        positions: of token-level outputs: those of all tokens, or of the `labelled` ones (`labels` other than -100),
            which are all that masked language modelling compares; a row without any label keeps all of its tokens.
    """

    dtype: Literal["float32", "float16"] = "float32"
    topk: TopK | None = None
    positions: Literal["tokens", "labelled"] = "tokens"

    def mask(self, batch: Mapping[str, Any]) -> Tensor:
        """Where a batch has positions that are kept: bool (N, T).

        Raises:
            InputError: the batch lacks what says so.
        """
        if "attention_mask" not in batch:
            raise InputError("token-level outputs need an attention_mask in the batch, which says where tokens are")
        tokens: Tensor = batch["attention_mask"].bool()
        if self.positions == "tokens" or "labels" not in batch:
            return tokens
        labelled = batch["labels"] != IGNORED
        return tokens & torch.where(labelled.any(-1, keepdim=True), labelled, True)


@dataclass(frozen=True)
class Kept:
    """Outputs of some rows, one after another, without padding.

    Attributes:
        arrays: by name; row-level outputs are (rows, ...), token-level ones (tokens of all rows, ...).
        offsets: (rows + 1,) int64: row i has the tokens from offsets[i] to offsets[i + 1]; None for row-level outputs.
    """

    arrays: Mapping[str, np.ndarray]
    offsets: np.ndarray | None = None

    def __len__(self) -> int:
        """The number of rows."""
        return len(next(iter(self.arrays.values()))) if self.offsets is None else len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Bytes in memory and, but for headers, on disk."""
        arrays = [*self.arrays.values()] + ([] if self.offsets is None else [self.offsets])
        return sum(array.nbytes for array in arrays)

    def row(self, row: int) -> Kept:
        """One row, without a copy."""
        if self.offsets is None:
            return Kept({name: array[row : row + 1] for name, array in self.arrays.items()})
        start, end = self.offsets[row : row + 2].tolist()
        return Kept({name: array[start:end] for name, array in self.arrays.items()}, np.array((0, end - start)))

    def take(self, rows: Sequence[int] | np.ndarray) -> Kept:
        """Some rows, in this order."""
        if self.offsets is None:
            return Kept({name: array[rows] for name, array in self.arrays.items()})
        return join([self.row(int(row)) for row in rows])

    def put_back(self, mask: Tensor | None) -> dict[str, Tensor]:
        """Tensors as the teacher gave them, 0 where nothing was kept: float32, ids int64.

        Args:
            mask: (N, T) bool, where the tokens belong; None for row-level outputs.

        Raises:
            InputError: a row has another number of tokens than were kept of it.
        """
        tensors = {name: _readable(array) for name, array in self.arrays.items()}
        if self.offsets is None or mask is None:
            return tensors
        wanted, kept = mask.sum(-1).numpy(), np.diff(self.offsets)
        if (wanted != kept).any():
            row = int(np.flatnonzero(wanted != kept)[0])
            raise InputError(
                f"row {row} of the batch has {wanted[row]} tokens and the teacher cache {kept[row]} of it: it was "
                "filled with another tokenizer, other labels or a random masking; fill it with the student's own "
                "inputs, or set `teacher_cache: off`"
            )
        padded = {name: value.new_zeros(*mask.shape, *value.shape[1:]) for name, value in tensors.items()}
        for name, value in tensors.items():
            padded[name][mask] = value
        return padded


def join(parts: Sequence[Kept]) -> Kept:
    """Rows of several, one after another."""
    names = parts[0].arrays
    arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in names}
    if parts[0].offsets is None:
        return Kept(arrays)
    counts = np.concatenate([np.diff(part.offsets) for part in parts if part.offsets is not None])
    return Kept(arrays, np.concatenate([[0], np.cumsum(counts)]))


def keep_outputs(outputs: Mapping[str, Any], batch: Mapping[str, Any], keep: Keep) -> Kept:
    """What is kept of a teacher's outputs for a batch.

    Args:
        outputs: `logits` (N, C) or (N, T, C), `start_logits` and `end_logits` (N, T), `embedding` (N, D), or
            `last_hidden_state` (N, T, D), of which the mean over the tokens is kept as `embedding`.
        batch: what the teacher was asked; `attention_mask` for token-level outputs, `row_id` to name rows by.
        keep: what is kept.

    Raises:
        InputError: there is nothing to keep, `k` is as large as the number of classes, or float16 cannot hold a value.
        TrainingDivergedError: the teacher answered NaN or infinity.
    """
    found = _compared(outputs, batch)
    token_level = all(name in _SPANS or value.dim() == 3 for name, value in found.items())
    mask = keep.mask(batch) if token_level else None
    items = {name: (value if mask is None else value[mask]).float() for name, value in found.items()}
    counts = None if mask is None else mask.sum(-1).cpu()
    _check_finite(items, counts, batch)
    if keep.topk is not None:
        items = _top_k(items, keep.topk)
    arrays = {name: _storable(name, value, keep.dtype) for name, value in items.items()}
    return Kept(arrays, None if counts is None else np.concatenate([[0], np.cumsum(counts.numpy())]))


def top_k_log_probs(logits: Tensor, k: int, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """The `k` largest log-probabilities of softmax(logits / temperature).

    Args:
        logits: (n, V) with V > k.
        k: how many.
        temperature: above 0.

    Returns:
        The log-probabilities (n, k), largest first; their places in the vocabulary (n, k) int64; and the log of the
        sum of all others (n,), summed in log space so that a small rest does not round to 0.
    """
    log_probs = torch.log_softmax(logits.float() / temperature, -1)
    values, ids = log_probs.topk(k, -1)
    return values, ids, log_probs.scatter(-1, ids, -torch.inf).logsumexp(-1)


def _compared(outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Tensor]:
    found = {name: outputs[name] for name in _OUTPUTS if outputs.get(name) is not None}
    if not found and outputs.get("last_hidden_state") is not None:
        found["embedding"] = Embedding().compared(outputs, batch)
    if not found:
        raise InputError(f"the teacher gave none of {', '.join(_OUTPUTS)}, but {', '.join(outputs) or 'nothing'}")
    return found


def _top_k(items: Mapping[str, Tensor], topk: TopK) -> dict[str, Tensor]:
    if set(items) != {"logits"}:
        raise InputError(f"teacher_cache_top_k is for `logits`, and the teacher gives {', '.join(items)}; leave it out")
    logits = items["logits"]
    if logits.shape[-1] <= topk.k:
        raise InputError(f"teacher_cache_top_k should be below {logits.shape[-1]}, the classes, got {topk.k}")
    parts = [top_k_log_probs(part, topk.k, topk.temperature) for part in torch.split(logits, _AT_ONCE)]
    log_probs, ids, rest = (torch.cat(column) for column in zip(*parts, strict=True))
    return {"topk_log_probs": log_probs, "topk_ids": ids, "rest_log_prob": rest}


def _check_finite(items: Mapping[str, Tensor], counts: Tensor | None, batch: Mapping[str, Any]) -> None:
    for name, value in items.items():
        good = value.isfinite().unsqueeze(-1).flatten(1).all(-1).cpu()
        if not good.all():
            row = int((~good).nonzero()[0])
            if counts is not None:
                row = int(torch.searchsorted(counts.cumsum(0), row, right=True))
            where = f"row_id {int(batch['row_id'][row])}" if "row_id" in batch else f"row {row} of a batch"
            raise TrainingDivergedError(
                f"the teacher answered NaN or infinity in {name} for {where}; check that it was loaded whole, or use "
                "float32"
            )


def _storable(name: str, value: Tensor, dtype: str) -> np.ndarray:
    array = value.cpu().numpy()
    if not value.is_floating_point():
        return array.astype(np.int32)
    largest = float(np.abs(array).max(initial=0))
    if largest > float(np.finfo(dtype).max):
        raise InputError(f"{dtype} cannot hold {name} of {largest:.4g}; keep the teacher's outputs as float32")
    return array.astype(dtype)


def _readable(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32 if np.issubdtype(array.dtype, np.floating) else np.int64))
