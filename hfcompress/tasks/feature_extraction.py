"""Feature extraction: one embedding a text, judged by the similarity of pairs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from hfcompress.errors import DataError
from hfcompress.models.folder import Problem
from hfcompress.recipe.tasks import Metric, TaskName
from hfcompress.tasks import correlation
from hfcompress.tasks.base import Batch, Collate
from hfcompress.tasks.columns import Columns
from hfcompress.tasks.labels import Labels
from hfcompress.tasks.metrics import Statistic, no_metric
from hfcompress.tasks.text import INPUTS, TextTask, check_texts, encode, pad_inputs, stacked

if TYPE_CHECKING:
    from datasets import Dataset

_REGRESSION: Problem = "regression"
#: How the similarity of a pair is checked: as a number of regression is.
_SIMILARITY = Labels((), {}, _REGRESSION)


class FeatureExtraction(TextTask):
    """The embedding is the mean of the last hidden states over a text's tokens (Reimers and Gurevych 2019).

    It is taken here and in numpy, so that every runtime has the same. Training rows are single texts without labels.
    Rows that are evaluated are pairs with a similarity `label`; each becomes two prepared rows.
    """

    name: ClassVar[TaskName] = "feature-extraction"
    head: ClassVar[str] = "Model"
    outputs: ClassVar[tuple[str, ...]] = ("last_hidden_state",)
    labelled_by: ClassVar[str | None] = None

    def model_class(self) -> Any:
        """`AutoModel`."""
        from transformers import AutoModel

        return AutoModel

    def adapt_(self, model: Any) -> None:
        """Without its pooler, a layer over the first token: nothing here reads it, so nothing would train it."""
        # Where it may be absent, `forward` asks whether it is there.
        if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
            model.pooler = None

    def encode(self, rows: Dataset, labels: Labels, where: str) -> Dataset:
        """The similarity of pairs, where rows have one, as float32."""
        if "label" not in rows.column_names:
            return rows
        from datasets import Value

        similarity = _SIMILARITY.encode(list(rows["label"]), where, list(rows["row_id"]))
        return rows.remove_columns("label").add_column("label", similarity.tolist(), feature=Value("float32"))

    def without_labels(self, rows: Dataset, labels: Labels) -> Dataset:
        """Training rows have none."""
        return rows

    def prepare(self, rows: Dataset, processor: Any, max_length: int, seed: int = 0) -> Dataset:
        """Tokenize; adds `length`. A pair becomes two rows, one after the other, which get row ids of their own."""
        texts = [name for name in ("text", "text_pair") if name in rows.column_names]

        def tokenize(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
            alternating = [text for pair in zip(*(batch[name] for name in texts), strict=True) for text in pair]
            ids = [len(texts) * row + side for row in batch["row_id"] for side in range(len(texts))]
            encoded = encode(processor, alternating, None, max_length)
            return {**encoded, "row_id": ids, "length": [len(each) for each in encoded["input_ids"]]}

        return rows.map(tokenize, batched=True, remove_columns=rows.column_names, desc="tokenizing")

    def collate(self, processor: Any) -> Collate:
        """Pads on the tokenizer's side with its own padding values."""

        def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
            return {**pad_inputs(processor, rows), **stacked(rows, ("row_id",))}

        return collate

    def preprocess(self, examples: Sequence[Any], processor: Any, max_length: int) -> dict[str, np.ndarray]:
        """Texts."""
        encoded = encode(processor, check_texts(examples), None, max_length)
        rows = [{name: encoded[name][row] for name in INPUTS} for row in range(len(examples))]
        return self.collate(processor)(rows)

    def predictions(self, outputs: Mapping[str, np.ndarray], batch: Batch, labels: Labels) -> Columns:
        """`embedding` (N, width) float32."""
        return {"embedding": mean_pooled(outputs["last_hidden_state"], batch["attention_mask"])}

    def gather(self, kept: Columns, rows: Dataset) -> Columns:
        """`prediction` (N,): the cosine similarity of each pair; `label`: what it should rank like.

        Memory: the embeddings of a split are held until then, 4 bytes x 2 x rows x width.

        Raises:
            DataError: the split holds no pairs.
        """
        if "text_pair" not in rows.column_names:
            raise DataError("feature-extraction is evaluated on pairs, and this split has none; evaluate another one")
        embeddings = cast("np.ndarray", kept["embedding"])
        first, second = embeddings[0::2], embeddings[1::2]
        similarity = np.asarray(rows["label"], dtype=np.float32)
        return {"row_id": np.asarray(rows["row_id"]), "prediction": cosine(first, second), "label": similarity}

    def answers(self, kept: Columns, examples: Sequence[Any], processor: Any, labels: Labels) -> list[Any]:
        """The embedding of each text, an array (width,)."""
        return list(cast("np.ndarray", kept["embedding"]))

    def metrics(self, labels: Labels) -> tuple[Metric, ...]:
        """Correlations, as similarities have no unit."""
        return ("spearman", "pearson")

    def statistic(self, metric: Metric, kept: Columns, labels: Labels) -> Statistic:
        """Of the cosine similarities with the labels."""
        label, predicted = (cast("np.ndarray", kept[name]) for name in ("label", "prediction"))
        match metric:
            case "spearman":
                return correlation.spearman(label, predicted)
            case "pearson":
                return correlation.pearson(label, predicted)
            case _:
                raise no_metric(metric, self.name)


def mean_pooled(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean of hidden states (N, T, width) over the tokens where mask (N, T) is 1, (N, width) float32."""
    kept = mask[:, :, None].astype(np.float32)
    pooled: np.ndarray = (hidden * kept).sum(axis=1) / np.maximum(kept.sum(axis=1), 1)
    return pooled.astype(np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of the angle between rows of a and b, both (N, width); 0 where one is all 0. Shape (N,) float32."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots = np.einsum("nd,nd->n", a, b)
    found: np.ndarray = np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)
    return found
