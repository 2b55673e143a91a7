"""Tiny random models, rows that such a model can learn, and a trainer over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    TrainerCallback,
)

from hfcompress.calibration.collectors import MinMaxCollector
from hfcompress.models.fake_quant import QuantScheme, TensorScheme, calibrate_, insert_fake_quant_
from hfcompress.training.answers import unlabelled_inputs_of
from hfcompress.training.arguments import DistillationArguments
from hfcompress.training.trainer import DistillationTrainer

VOCABULARY = 64
LABELS = {0: "low", 1: "high"}


def bert_config(dropout: float = 0.0, **config: Any) -> BertConfig:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {"vocab_size": VOCABULARY, "max_position_embeddings": 64}
    dropouts = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    # Wide, so that two random teachers disagree and a random student is far from both.
    return BertConfig(**(sizes | dropouts | {"initializer_range": 0.2} | config))


def tiny_bert(seed: int = 0, dropout: float = 0.0, **config: Any) -> BertForSequenceClassification:
    torch.manual_seed(seed)
    labels = {"id2label": LABELS, "label2id": {label: index for index, label in LABELS.items()}}
    return BertForSequenceClassification(bert_config(dropout, **(labels | config)))


def tiny_distilbert(seed: int = 0, dropout: float = 0.0) -> DistilBertForSequenceClassification:
    torch.manual_seed(seed)
    labels = {"id2label": LABELS, "label2id": {label: index for index, label in LABELS.items()}}
    config = DistilBertConfig(
        vocab_size=VOCABULARY,
        dim=32,
        n_layers=2,
        n_heads=2,
        hidden_dim=64,
        max_position_embeddings=64,
        initializer_range=0.2,
        dropout=dropout,
        attention_dropout=dropout,
        seq_classif_dropout=dropout,
        **labels,
    )
    return DistilBertForSequenceClassification(config)


def sentence_pairs(rows: int, seed: int = 0) -> Dataset:
    """Rows of 6 to 20 tokens in two segments; the first word is 2 or 3, which is label 0 or 1."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {name: [] for name in ("input_ids", "token_type_ids", "labels", "length", "row_id")}
    for row in range(rows):
        length = int(rng.integers(6, 21))
        tokens = rng.integers(4, VOCABULARY, size=length)
        label = int(rng.integers(2))
        columns["input_ids"].append([1, 2 + label, *tokens[2:].tolist()])
        columns["token_type_ids"].append([int(place >= length // 2) for place in range(length)])
        columns["labels"].append(label)
        columns["length"].append(length)
        columns["row_id"].append(1000 + row)
    return Dataset.from_dict(columns)


def rounded(model: Any, *, learned: bool = True) -> Any:
    """The model, fake-quantized and calibrated on 16 sentence pairs."""
    weights, activations = TensorScheme(True, True, True), TensorScheme(False, False, False)
    insert_fake_quant_(model, QuantScheme(weights, activations, learned))
    batch = collate(list(sentence_pairs(16, seed=9)))
    calibrate_(model, [unlabelled_inputs_of(model, batch)], MinMaxCollector)
    return model


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    longest = max(len(row["input_ids"]) for row in rows)

    def padded(name: str) -> torch.Tensor:
        return torch.tensor([row[name] + [0] * (longest - len(row[name])) for row in rows])

    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    return {
        "input_ids": padded("input_ids"),
        "token_type_ids": padded("token_type_ids"),
        "attention_mask": (torch.arange(longest) < lengths[:, None]).long(),
        "labels": torch.tensor([row["labels"] for row in rows]),
        "row_id": torch.tensor([row["row_id"] for row in rows]),
    }


def tiny_trainer(
    folder: Path,
    *,
    model: PreTrainedModel,
    teacher: Any = None,
    rows: Dataset | None = None,
    callbacks: list[TrainerCallback] | None = None,
    trainer_args: dict[str, Any] | None = None,
    **args: Any,
) -> DistillationTrainer:
    args = {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "max_steps": 4, "seed": 1} | args
    return DistillationTrainer(
        model=model,
        teacher=teacher,
        args=DistillationArguments(output_dir=str(folder), **args),
        train_dataset=sentence_pairs(64) if rows is None else rows,
        callbacks=callbacks,
        **({"data_collator": collate} | (trainer_args or {})),
    )


class PowerCutError(Exception):
    pass


class PowerCut(TrainerCallback):
    """Ends the process, as far as the trainer can tell, after `step` steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise PowerCutError


def logged(trainer: DistillationTrainer, key: str) -> list[float]:
    return [entry[key] for entry in trainer.state.log_history if key in entry]
