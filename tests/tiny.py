"""Tiny random models and learnable rows, as folders, for every test that needs a whole model or dataset."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.tasks.labels import Labels

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


def classes(*names: str) -> Labels:
    """Labels of one class a row that are called so in the data too."""
    return Labels(names, {name: index for index, name in enumerate(names)})


#: Task -> the end of the class name of a BERT with its head.
HEADS = {
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "masked-lm": "ForMaskedLM",
    "question-answering": "ForQuestionAnswering",
    "feature-extraction": "Model",
}


def save_bert(
    folder: Path,
    *,
    layers: int = 4,
    head: bool | str = False,
    labels: Labels | None = None,
    seed: int = 0,
    **config: Any,
) -> Path:
    """A random BERT with its tokenizer: a bare encoder, or with a head.

    Args:
        folder: where it goes.
        layers: of the encoder.
        head: True for a classification head, or the task whose head it is.
        labels: what the head answers; default: `LABELS`.
        seed: of the weights.
        config: further fields of its config.
    """
    import torch
    import transformers

    from hfcompress.tasks import get_task

    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    task: Any = head if isinstance(head, str) else "text-classification"
    answers = get_task(task).head_config(classes(*LABELS.values()) if labels is None else labels) if head else {}
    sizes = {**TINY, "num_hidden_layers": layers, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    made = transformers.BertConfig(**{**sizes, **answers, "initializer_range": 0.1, **config})
    model = getattr(transformers, f"Bert{HEADS[task] if head else 'Model'}")(made)
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


def save_resnet(folder: Path, layer_type: str = "basic", *, seed: int = 0) -> Path:
    """A random ResNet with a head for ten classes, for 32 x 32 images; its batch-norms have seen some noise."""
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

    torch.manual_seed(seed)
    sizes = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [2, 2], "layer_type": layer_type}
    model = ResNetForImageClassification(ResNetConfig(**sizes, num_labels=10)).train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(16, 3, 32, 32))
    model.eval().save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
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


def save_json(folder: Path, make: Callable[[int, int], list[dict[str, Any]]], sizes: dict[str, int]) -> Path:
    """Rows that `make(rows, seed)` makes, as json files named after their splits; each split has a seed of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, rows) in enumerate(sizes.items()):
        lines = (json.dumps(row) for row in make(rows, seed))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def make_topics(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows for multi-label classification: the labels are which of three groups of words are in the text."""
    rng = np.random.default_rng(seed)
    groups = {"good": GOOD, "bad": BAD, "numbered": FILLER[:4]}
    made = []
    for _ in range(rows):
        held = [name for name in groups if rng.integers(2)]
        words = [*rng.choice(FILLER[4:], size=rng.integers(2, 8))]
        words += [str(word) for name in held for word in rng.choice(groups[name], size=2)]
        made.append({"text": " ".join(map(str, rng.permutation(words))), "label": held})
    return made


def make_scores(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows for regression: the label is the share of good words in the text less that of bad ones."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        good, bad, rest = (int(count) for count in rng.integers(0, 5, 3))
        words = [*rng.choice(GOOD, good), *rng.choice(BAD, bad), *rng.choice(FILLER, rest + 1)]
        label = round((good - bad) / len(words), 3)
        made.append({"text": " ".join(map(str, rng.permutation(words))), "label": label})
    return made


def make_pairs(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs of texts; the label is the cosine of their counts of each word, which random embeddings nearly have."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        first = rng.integers(0, 12, rng.integers(3, 9))
        second = np.where(rng.random(len(first)) < rng.random(), first, rng.integers(0, 12, len(first)))
        a, b = (np.bincount(words, minlength=12) for words in (first, second))
        cosine = a @ b / np.sqrt((a @ a) * (b @ b))
        texts = [" ".join(FILLER[word] for word in rng.permutation(words)) for words in (first, second)]
        made.append({"text": texts[0], "text_pair": texts[1], "label": round(float(cosine), 3)})
    return made


def save_pairs(folder: Path, *, train: int = 400, validation: int = 100, test: int = 100) -> Path:
    """`make_pairs` as json."""
    return save_json(folder, make_pairs, {"train": train, "validation": validation, "test": test})


def make_questions(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Questions whose answer is the run of one or two good words in the context, whatever the question."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        before, after = ([str(word) for word in rng.choice(FILLER, rng.integers(1, 8))] for _ in range(2))
        answer = " ".join(map(str, rng.choice(GOOD, rng.integers(1, 3))))
        context = " ".join([*before, answer, *after])
        answers = {"text": [answer], "answer_start": [len(" ".join(before)) + 1]}
        made.append({"question": "word1 word2", "context": context, "answers": answers})
    return made


def save_questions(folder: Path, *, train: int = 400, validation: int = 100, test: int = 100) -> Path:
    """`make_questions` as json."""
    return save_json(folder, make_questions, {"train": train, "validation": validation, "test": test})


def make_lines(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Texts that say one of twelve words 7 to 20 times, so that a masked one is known from any other."""
    rng = np.random.default_rng(seed)
    return [{"text": " ".join([FILLER[rng.integers(12)]] * int(rng.integers(7, 21)))} for _ in range(rows)]


def save_lines(folder: Path, *, train: int = 400, validation: int = 100, test: int = 100) -> Path:
    """`make_lines` as json."""
    return save_json(folder, make_lines, {"train": train, "validation": validation, "test": test})


TAGS = ("O", "B-GOOD", "I-GOOD", "B-BAD", "I-BAD")


def make_tagged(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Sentences with runs of one or two good or bad words, each run an entity; never two runs side by side."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        tokens: list[str] = []
        tags: list[str] = []
        for _ in range(rng.integers(1, 4)):
            kind, words = (("GOOD", GOOD), ("BAD", BAD))[rng.integers(2)]
            filler, run = rng.integers(1, 4), rng.integers(1, 3)
            tokens += map(str, [*rng.choice(FILLER, filler), *rng.choice(words, run)])
            tags += ["O"] * int(filler) + [f"B-{kind}", f"I-{kind}"][:run]
        made.append({"tokens": tokens, "tags": tags})
    return made


def save_tagged(folder: Path, *, train: int = 400, validation: int = 100, test: int = 100) -> Path:
    """`make_tagged` as json."""
    return save_json(folder, make_tagged, {"train": train, "validation": validation, "test": test})


def save_topics(folder: Path, *, train: int = 400, validation: int = 100, test: int = 100) -> Path:
    """`make_topics` as json."""
    return save_json(folder, make_topics, {"train": train, "validation": validation, "test": test})


def save_scores(folder: Path, *, train: int = 400, validation: int = 100, test: int = 100) -> Path:
    """`make_scores` as json."""
    return save_json(folder, make_scores, {"train": train, "validation": validation, "test": test})


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
