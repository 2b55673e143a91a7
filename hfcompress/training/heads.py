"""What the outputs of a model are: which numbers a label is compared with, which a teacher's, and how many there are.

One class for each kind of head. Losses are sums over items, so that whoever adds micro-batches and processes divides
by the count of all of them: a mean of means is wrong where they hold unequal numbers of items (by up to 71% with uneven
`-100` masks). Rows without a label (see each class) count for the comparison with the teacher alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from hfcompress.errors import InputError
from hfcompress.recipe.objectives import SoftLoss
from hfcompress.training import losses

#: What no label is, as PyTorch's cross-entropy has it.
IGNORED = -100
#: Logit of a place where no answer can be. Finite: the difference of two infinities would be NaN.
_NOWHERE = -1e4

#: Student's and teacher's outputs `[n, C]`, temperature, beta -> one value for each of the n items.
Comparison = Callable[[Tensor, Tensor, float, float], Tensor]
Batch = Mapping[str, Any]
Outputs = Mapping[str, Any]

_OF_CLASSES: dict[SoftLoss, Comparison] = {
    "forward_kl": lambda s, t, temperature, beta: losses.soft_target_kl(s, t, temperature),
    "reverse_kl": lambda s, t, temperature, beta: losses.reverse_kl(s, t, temperature),
    "jsd": lambda s, t, temperature, beta: losses.generalized_jsd(s, t, temperature, beta),
    "mse": lambda s, t, temperature, beta: losses.mse(s, t),
}
_OF_YES_OR_NO: dict[SoftLoss, Comparison] = {
    "forward_kl": lambda s, t, temperature, beta: losses.binary_kl(s, t, temperature),
    "reverse_kl": lambda s, t, temperature, beta: losses.binary_reverse_kl(s, t, temperature),
    "jsd": lambda s, t, temperature, beta: losses.binary_jsd(s, t, temperature, beta),
    "mse": lambda s, t, temperature, beta: losses.mse(s, t),
}
_OF_VECTORS: dict[SoftLoss, Comparison] = {
    "cosine": lambda s, t, temperature, beta: losses.cosine(s, t),
    "mse": lambda s, t, temperature, beta: losses.mse(s, t),
}


class Head(ABC):
    """One kind of head.

    Attributes:
        comparisons: how its outputs can be compared with a teacher's; the first one is the default.
        has_labels: whether there are labels to learn from beside a teacher.
    """

    comparisons: ClassVar[dict[SoftLoss, Comparison]] = _OF_CLASSES
    has_labels: ClassVar[bool] = True

    @abstractmethod
    def labelled(self, batch: Batch) -> Tensor | None:
        """Which items have a label, bool `[...]`; None when the batch holds no labels."""

    @abstractmethod
    def label_losses(self, outputs: Outputs, batch: Batch, smoothing: float) -> Tensor:
        """The task's own loss of each item, of the shape of `labelled`; what it says of items without one is 0."""

    def compared(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The outputs `[n, C]` that are compared with a teacher's, given the same batch."""
        logits: Tensor = outputs["logits"]
        return logits

    def compared_count(self, batch: Batch) -> int | Tensor:
        """How many there are: n."""
        return rows_of(batch)

    def comparison(self, name: SoftLoss | None) -> Comparison:
        """The function of a name; the default one for None.

        Raises:
            InputError: this kind of head has none of that name.
        """
        if name is None:
            return next(iter(self.comparisons.values()))
        if name not in self.comparisons:
            raise InputError(
                f"soft_loss {name!r} does not suit {self}; use {' or '.join(self.comparisons)}, or leave it out"
            )
        return self.comparisons[name]


class Classes(Head):
    """One class a row: `logits` (N, C), `labels` (N,) with -100 for none."""

    def __str__(self) -> str:
        return "a classifier"

    def labelled(self, batch: Batch) -> Tensor | None:
        """See `Head.labelled`."""
        if "labels" not in batch:
            return None
        labels: Tensor = batch["labels"]
        if labels.dim() != 1 or labels.is_floating_point():
            raise InputError(
                f"a classifier of one class takes labels (N,) of integers, got {tuple(labels.shape)} {labels.dtype}; "
                "for several classes a row set problem_type='multi_label_classification' in the model's config"
            )
        return labels != IGNORED

    def label_losses(self, outputs: Outputs, batch: Batch, smoothing: float) -> Tensor:
        """Cross-entropy (N,)."""
        return _cross_entropy(outputs["logits"], batch["labels"], smoothing)


class Labels(Head):
    """Any number of classes a row: `logits` (N, C), `labels` (N, C) of 0 and 1, a row of NaN for none."""

    comparisons: ClassVar[dict[SoftLoss, Comparison]] = _OF_YES_OR_NO

    def __str__(self) -> str:
        return "a multi-label classifier"

    def labelled(self, batch: Batch) -> Tensor | None:
        """See `Head.labelled`."""
        return ~batch["labels"].isnan().any(-1) if "labels" in batch else None

    def label_losses(self, outputs: Outputs, batch: Batch, smoothing: float) -> Tensor:
        """Binary cross-entropy (N,), the mean over classes."""
        labels = batch["labels"].float()
        known = labels.nan_to_num()
        losses_ = functional.binary_cross_entropy_with_logits(outputs["logits"].float(), known, reduction="none")
        return torch.where(labels.isnan().any(-1), 0.0, losses_.mean(-1))


class Regression(Head):
    """Numbers: `logits` (N, D), `labels` (N,) or (N, D), NaN for none."""

    comparisons: ClassVar[dict[SoftLoss, Comparison]] = {"mse": _OF_CLASSES["mse"]}

    def __str__(self) -> str:
        return "a regression"

    def labelled(self, batch: Batch) -> Tensor | None:
        """See `Head.labelled`."""
        return ~_as_columns(batch["labels"]).isnan().any(-1) if "labels" in batch else None

    def label_losses(self, outputs: Outputs, batch: Batch, smoothing: float) -> Tensor:
        """Squared error (N,), the mean over D."""
        labels = _as_columns(batch["labels"]).float()
        losses_ = losses.mse(outputs["logits"], labels.nan_to_num())
        return torch.where(labels.isnan().any(-1), 0.0, losses_)


class Tokens(Head):
    """One class a token: `logits` (N, T, C), `labels` (N, T) with -100 for tokens that do not count.

    A row whose labels are all -100 is one without labels: all of its tokens are compared with the teacher's. Of other
    rows those that count are.
    """

    def __str__(self) -> str:
        return "a token classifier"

    def labelled(self, batch: Batch) -> Tensor | None:
        """See `Head.labelled`."""
        return batch["labels"] != IGNORED if "labels" in batch else None

    def label_losses(self, outputs: Outputs, batch: Batch, smoothing: float) -> Tensor:
        """Cross-entropy (N, T)."""
        labels: Tensor = batch["labels"]
        return _cross_entropy(outputs["logits"].flatten(0, 1), labels.flatten(), smoothing).view(labels.shape)

    def compared(self, outputs: Outputs, batch: Batch) -> Tensor:
        """See `Head.compared`."""
        chosen: Tensor = outputs["logits"][self._counted(batch)]
        return chosen

    def compared_count(self, batch: Batch) -> Tensor:
        """See `Head.compared_count`."""
        return self._counted(batch).sum()

    def _counted(self, batch: Batch) -> Tensor:
        tokens = tokens_of(batch)
        if tokens is None:
            raise InputError("a batch of token labels needs an attention_mask, which says where tokens are")
        labelled = self.labelled(batch)
        if labelled is None:
            return tokens
        return torch.where(labelled.any(-1, keepdim=True), labelled, tokens) & tokens


class Spans(Head):
    """Where an answer begins and ends: `start_logits`, `end_logits` (N, T), `start_positions`, `end_positions` (N,).

    -100 for none. As in Transformers, the loss of a row is the mean of the two cross-entropies. A squared difference of
    logits would depend on the padding.
    """

    comparisons: ClassVar[dict[SoftLoss, Comparison]] = {
        name: compare for name, compare in _OF_CLASSES.items() if name != "mse"
    }

    def __str__(self) -> str:
        return "a span head"

    def labelled(self, batch: Batch) -> Tensor | None:
        """See `Head.labelled`."""
        return batch["start_positions"] != IGNORED if "start_positions" in batch else None

    def label_losses(self, outputs: Outputs, batch: Batch, smoothing: float) -> Tensor:
        """The mean of two cross-entropies (N,)."""
        start = _cross_entropy(outputs["start_logits"], batch["start_positions"], smoothing)
        return (start + _cross_entropy(outputs["end_logits"], batch["end_positions"], smoothing)) / 2

    def compared(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Starts, then ends: (2N, T), padding out of reach."""
        both = torch.cat([outputs["start_logits"], outputs["end_logits"]])
        tokens = tokens_of(batch)
        return both if tokens is None else both.masked_fill(~tokens.repeat(2, 1), _NOWHERE)

    def compared_count(self, batch: Batch) -> int:
        """See `Head.compared_count`."""
        return 2 * rows_of(batch)


class Embedding(Head):
    """One vector a row, the mean of the last hidden states over its tokens: `last_hidden_state` (N, T, D), no labels.

    Pooled as Sentence-BERT does by default (Reimers and Gurevych 2019).
    """

    comparisons: ClassVar[dict[SoftLoss, Comparison]] = _OF_VECTORS
    has_labels: ClassVar[bool] = False

    def __str__(self) -> str:
        return "an embedding"

    def labelled(self, batch: Batch) -> Tensor | None:
        """None: there are no labels."""
        return None

    def label_losses(self, outputs: Outputs, batch: Batch, smoothing: float) -> Tensor:
        """Refused: there are no labels."""
        raise InputError("embeddings have no labels to learn from; give a teacher")

    def compared(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The embeddings (N, D); an answer that holds an `embedding` already gives that."""
        if "embedding" in outputs:
            embedding: Tensor = outputs["embedding"]
            return embedding
        states = outputs["last_hidden_state"].float()
        tokens = batch["attention_mask"].to(states.dtype).unsqueeze(-1)
        pooled: Tensor = (states * tokens).sum(1) / tokens.sum(1).clamp(min=1)
        return pooled


_BY_CLASS_NAME: dict[str, type[Head]] = {
    "ForTokenClassification": Tokens,
    "ForMaskedLM": Tokens,
    "ForQuestionAnswering": Spans,
}
_CLASSIFIERS = ("ForSequenceClassification", "ForImageClassification")
_BY_PROBLEM: dict[str | None, type[Head]] = {
    "single_label_classification": Classes,
    "multi_label_classification": Labels,
    "regression": Regression,
}


def head_of(model: Any) -> Head:
    """The head of a model of Transformers, by its class and its config's `problem_type`.

    Raises:
        InputError: it has a head that is not known here.
    """
    name = type(model).__name__
    for ending, kind in _BY_CLASS_NAME.items():
        if name.endswith(ending):
            return kind()
    if any(ending in name for ending in _CLASSIFIERS):
        problem = getattr(model.config, "problem_type", None)
        if problem is None:
            return Regression() if model.config.num_labels == 1 else Classes()
        if problem == "single_label_classification" and model.config.num_labels < 2:
            # Its softmax is always 1: every loss would be 0, without a word.
            raise InputError(f"{name} classifies into a single class; give it two or more, or problem_type regression")
        return _BY_PROBLEM[problem]()
    if name.endswith("Model"):
        return Embedding()
    raise InputError(
        f"{name} has a head that distillation does not know; it knows "
        f"{', '.join([*_CLASSIFIERS, *_BY_CLASS_NAME])} and bare encoders"
    )


def rows_of(batch: Batch) -> int:
    """How many rows a batch has."""
    return len(next(iter(batch.values())))


def tokens_of(batch: Batch) -> Tensor | None:
    """Where a batch has tokens and no padding, bool `[N, T]`; None for images."""
    return batch["attention_mask"].bool() if "attention_mask" in batch else None


def _cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    values: Tensor = functional.cross_entropy(
        logits.float(), labels, ignore_index=IGNORED, label_smoothing=smoothing, reduction="none"
    )
    return values


def _as_columns(labels: Tensor) -> Tensor:
    return labels if labels.dim() > 1 else labels.unsqueeze(-1)
