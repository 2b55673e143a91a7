"""Tiny random models and learnable rows, as folders, for every test that needs a whole model or dataset."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

GOOD, BAD = ("good", "fine", "great", "superb"), ("bad", "poor", "awful", "dull")
FILLER = tuple(f"word{index}" for index in range(40))
LABELS = {0: "negative", 1: "positive"}
TINY = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


def make_tokenizer() -> Any:
    """A BERT-like tokenizer over the words of `make_reviews`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *FILLER]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


def save_bert(folder: Path, *, layers: int = 4, head: bool = False, seed: int = 0, **config: Any) -> Path:
    """A random BERT with its tokenizer: a bare encoder, or with a classification head for `LABELS`."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    labels = {"id2label": LABELS, "label2id": {name: index for index, name in LABELS.items()}}
    sizes = {**TINY, "num_hidden_layers": layers, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    made = BertConfig(**{**sizes, **(labels if head else {}), "initializer_range": 0.1, **config})
    model = (BertForSequenceClassification if head else BertModel)(made)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_vit(folder: Path, *, layers: int = 3, seed: int = 0) -> Path:
    """A random ViT encoder for 16 x 16 images with its image processor."""
    import torch
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(seed)
    ViTModel(ViTConfig(**TINY, num_hidden_layers=layers, image_size=16, patch_size=4)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def make_reviews(rows: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows of 4 to 20 words; the label is whether more good words than bad ones are in it."""
    rng = np.random.default_rng(seed)
    made = []
    for row in range(rows):
        positive = bool(rng.integers(2))
        words = list(rng.choice(FILLER, size=rng.integers(3, 18)))
        for word in rng.choice(GOOD if positive else BAD, size=2):
            words.insert(int(rng.integers(len(words) + 1)), word)
        made.append({"id": f"r{row}", "text": " ".join(words), "label": LABELS[int(positive)]})
    return made


def save_reviews(folder: Path, *, train: int = 64, validation: int = 32, test: int = 32) -> Path:
    """`make_reviews` as csv files named after their splits."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"train": train, "validation": validation, "test": test}
    for seed, (split, rows) in enumerate(sizes.items()):
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=["id", "text", "label"])
            writer.writeheader()
            writer.writerows(make_reviews(rows, seed))
    return folder


def save_digits(folder: Path, *, train: int = 300, validation: int = 100, test: int = 100) -> Path:
    """scikit-learn's handwritten digits as a saved dataset of images."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
    from PIL import Image as Pil
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = [Pil.fromarray((image * 15.9).astype(np.uint8)) for image in digits.images]
    features = Features({"image": Image(), "label": ClassLabel(names=[str(digit) for digit in range(10)])})
    splits, start = {}, 0
    for split, rows in {"train": train, "validation": validation, "test": test}.items():
        part = {"image": images[start : start + rows], "label": digits.target[start : start + rows].tolist()}
        splits[split] = Dataset.from_dict(part, features=features)
        start += rows
    DatasetDict(splits).save_to_disk(str(folder))
    return folder


def text_recipe(model: Path, data: Path, **changes: Any) -> dict[str, Any]:
    """A whole tiny recipe of text classification: finetune, distil, export, quantize."""
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 5e-3, "bf16": False}
    return {
        "name": "tiny",
        "task": "text-classification",
        "model": str(model),
        "data": {"path": str(data), "max_length": 32},
        "stages": {
            "teacher": {"finetune": {"training": training}},
            "student": {"distill": {"student": {"keep_layers": [0, 2]}, "training": training}},
            "onnx": {"export": {}},
            "int8": {"quantize": {"allow_slower": True}},
        },
        "benchmark": {
            "batch": [1, 4],
            "sequence": [8],
            "threads": 1,
            "repeats": 5,
            "warmup": 1,
            "stream": {"batch": 8, "rows": 16, "passes": 3},
        },
        **changes,
    }
