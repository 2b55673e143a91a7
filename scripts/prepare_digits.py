"""Make the ingredients of the vision recipes: real images, and two small nets that know nothing yet.

    python scripts/prepare_digits.py [--out .demo]

Data: scikit-learn's 1,797 scans of handwritten digits, 8 x 8 pixels (Alpaydin & Kaynak 1998, UCI Optical Recognition of
Handwritten Digits), split 60/20/20 by seed with equal shares of each digit.
Models: a ViT of four layers and a ResNet of three stages, with random weights and image processors that resize to
32 x 32. A second run replaces nothing that is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, disable_progress_bars
from PIL import Image as Pillow
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from transformers import (
    ConvNextImageProcessor,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    set_seed,
)

SIZE = 32
NAMES = {index: str(index) for index in range(10)}


def main() -> None:
    """Fill the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".demo"), help="folder to fill (default: .demo)")
    out: Path = parser.parse_args().out
    disable_progress_bars()
    makers = {"digits": save_digits, "vit-digits": save_vit, "resnet-digits": save_resnet}
    for name, save in makers.items():
        if not (out / name).exists():
            save(out / name)
        print(f"{out / name}: ready")


def save_digits(folder: Path) -> None:
    """Three splits with the columns `image` and `label`."""
    pixels, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    train, validation = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=0)
    features = Features({"image": Image(), "label": ClassLabel(names=list(NAMES.values()))})
    splits = {"train": train, "validation": validation, "test": test}
    DatasetDict(
        {
            name: Dataset.from_dict(
                {"image": [image(pixels[row]) for row in rows], "label": labels[rows]}, features=features
            )
            for name, rows in splits.items()
        }
    ).save_to_disk(folder)


def image(pixels: np.ndarray) -> Pillow.Image:
    """64 values of 0 to 16 to an image of 8 x 8."""
    return Pillow.fromarray((pixels.reshape(8, 8) * (255 / 16)).round().astype(np.uint8))


def save_vit(folder: Path) -> None:
    """64 patches, width 128."""
    config = ViTConfig(
        image_size=SIZE,
        patch_size=4,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        **head(),
    )
    save(ViTForImageClassification, config, ViTImageProcessor(size={"height": SIZE, "width": SIZE}), folder)


def save_resnet(folder: Path) -> None:
    """Three stages of two basic blocks."""
    config = ResNetConfig(embedding_size=32, hidden_sizes=[32, 64, 128], depths=[2, 2, 2], layer_type="basic", **head())
    processor = ConvNextImageProcessor(size={"shortest_edge": SIZE}, crop_pct=1.0)
    save(ResNetForImageClassification, config, processor, folder)


def head() -> dict[str, Any]:
    """What the classes are called."""
    return {"id2label": NAMES, "label2id": {name: index for index, name in NAMES.items()}}


def save(kind: type[PreTrainedModel], config: Any, processor: Any, folder: Path) -> None:
    """Random weights that are the same each time."""
    set_seed(0)
    kind(config).save_pretrained(folder)
    processor.save_pretrained(folder)


if __name__ == "__main__":
    main()
