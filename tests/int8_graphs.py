"""Tiny INT8 graphs: ours, and as ONNX Runtime's own quantizer makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.quantize.targets import Cpu
from tests import tiny

Batch = dict[str, np.ndarray]


def text_batches(rows: int = 48, size: int = 16) -> list[Batch]:
    """Batches of reviews."""
    from hfcompress.tasks import get_task

    task, tokenizer = get_task("text-classification"), tiny.make_tokenizer()
    texts = [row["text"] for row in tiny.make_reviews(rows, seed=5)]
    return [task.preprocess(texts[start : start + size], tokenizer, 64) for start in range(0, rows, size)]


def image_batches(rows: int = 6) -> list[Batch]:
    """One batch of noise."""
    return [{"pixel_values": np.random.default_rng(0).normal(size=(rows, 3, 32, 32)).astype(np.float32)}]


def export_bert(folder: Path, *, extreme: bool = False) -> Path:
    """An exported BERT; `extreme`: with matrices of two values only, which saturate all the time."""
    from hfcompress.export.optimum import export_with_optimum

    source = tiny.save_bert(folder / "torch", layers=1, head=True)
    if extreme:
        _two_values_(source)
    export_with_optimum(source, folder / "onnx", "text-classification", None)
    return folder / "onnx"


def _two_values_(folder: Path) -> None:
    import torch

    from hfcompress.models.loading import load_model

    model = load_model(folder, "text-classification")
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim == 2 and "embeddings" not in name:
                tensor.copy_(torch.where(tensor > 0, 0.1, -0.1))
        # As many rows of each class: a model that always answers the same would agree with anything.
        batch = {name: torch.from_numpy(array) for name, array in text_batches(32, 32)[0].items()}
        model.classifier.bias -= model(**batch).logits.median(dim=0).values
    model.save_pretrained(folder)


def export_resnet(folder: Path) -> Path:
    """An exported ResNet of two stages."""
    import torch
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

    from hfcompress.export.optimum import export_with_optimum

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}
    ResNetForImageClassification(ResNetConfig(**sizes, num_labels=10)).save_pretrained(folder / "torch")
    ConvNextImageProcessor(size={"shortest_edge": 32}).save_pretrained(folder / "torch")
    export_with_optimum(folder / "torch", folder / "onnx", "image-classification", None)
    return folder / "onnx"


def quantize_dynamically(source: Path, out: Path, cpu: Cpu) -> Path:
    """Dynamic INT8 with the scheme of a kind of CPU, per channel."""
    from hfcompress.quantize.dynamic import quantize_dynamic
    from hfcompress.quantize.targets import SCHEMES

    out.mkdir(parents=True)
    return quantize_dynamic(source, out, SCHEMES[cpu], per_channel=True).parent


def quantize_statically(source: Path, out: Path, batches: list[Batch], activations: str) -> Path:
    """Q/DQ of 8-bit weights, per channel; activations `QUInt8` or `QInt8`."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    names = [value.name for value in onnx.load(source / "model.onnx").graph.input]

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._rows = iter([{name: batch[name] for name in names} for batch in batches])

        def get_next(self) -> Batch | None:
            return next(self._rows, None)

    out.mkdir(parents=True)
    kinds = {"activation_type": QuantType[activations], "weight_type": QuantType.QInt8}
    quantize_static(
        source / "model.onnx", out / "model.onnx", Reader(), quant_format=QuantFormat.QDQ, per_channel=True, **kinds
    )
    return out
