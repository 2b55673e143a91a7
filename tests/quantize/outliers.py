"""Small networks in which chosen layers cannot be quantized, and images that the float network classifies right."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.onnx_graph.file import model_file
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import Rows
from tests import tiny

SIDE, CLASSES = 8, tiny.classes(*"abcd")
#: Its scale leaves nothing of the other weights of its tensor in 8 bits.
_OUTLIER = 1e4


def layer(number: int) -> str:
    """The node of a layer."""
    return f"/layers.{number}/MatMul"


def save_network(folder: Path, *, layers: int = 4, ruinous: Collection[int] = (), width: int = 32) -> Path:
    """Products with a ReLU between them. A ruinous layer has one outlier, in the row of an input that is always 0.

    So the float network is the same with and without outliers, and INT8 with one scale a tensor is not.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from transformers import ViTConfig, ViTImageProcessor

    rng, sizes = np.random.default_rng(0), [3 * SIDE * SIDE, *[width] * (layers - 1), len(CLASSES.names)]
    nodes = [helper.make_node("Flatten", ["pixel_values"], ["h0"], name="/Flatten")]
    weights = []
    for number in range(layers):
        weight = rng.normal(size=(sizes[number], sizes[number + 1])) / np.sqrt(sizes[number] / 2)
        if number < layers - 1:
            weight[:, 0] = 0
        if number in ruinous:
            weight[0, 0] = _OUTLIER
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{number}"))
        output = f"p{number}" if number < layers - 1 else "logits"
        nodes.append(helper.make_node("MatMul", [f"h{number}", f"w{number}"], [output], layer(number)))
        if number < layers - 1:
            nodes.append(helper.make_node("Relu", [output], [f"h{number + 1}"], name=f"/layers.{number}/Relu"))
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(CLASSES.names)])
    graph = helper.make_graph(nodes, "network", [pixels], [logits], weights)
    folder.mkdir(parents=True)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, folder / "model.onnx")
    ViTConfig(**get_task("image-classification").head_config(CLASSES), image_size=SIDE).save_pretrained(folder)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def rows_of(network: Path, rows: int = 120) -> Data:
    """Random images for validation, labelled by the network itself: its accuracy is 1."""
    from datasets import Dataset, Features, Image, Value
    from PIL import Image as Pil

    rng, task = np.random.default_rng(1), get_task("image-classification")
    pixels = rng.integers(0, 256, size=(rows, SIDE, SIDE, 3), dtype=np.uint8)
    images: list[Any] = [Pil.fromarray(image) for image in pixels]
    batch = task.preprocess(images, task.load_processor(network), 0)
    labels = OnnxRuntime(model_file(network)).predict(batch)["logits"].argmax(axis=1)
    features = Features({"image": Image(), "label": Value("string"), "row_id": Value("int64")})
    named = [CLASSES.names[label] for label in labels]
    columns = {"image": images, "label": named, "row_id": list(range(rows))}
    return Data(task, Rows({"validation": Dataset.from_dict(columns, features=features)}, {}), CLASSES, 1)


def quantize_statically(network: Path, out: Path, excluded: Sequence[str] = ()) -> None:
    """Static INT8 with Q/DQ by ONNX Runtime's own function, per tensor, 7-bit weights: exact on any CPU."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    rng = np.random.default_rng(2)
    batches = iter([{"pixel_values": rng.uniform(-1, 1, size=(64, 3, SIDE, SIDE)).astype(np.float32)}])

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return next(batches, None)

    shutil.copytree(network, out, dirs_exist_ok=True)
    quantize_static(
        network / "model.onnx",
        out / "model.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=True,
        op_types_to_quantize=["MatMul"],
        nodes_to_exclude=list(excluded),
    )
