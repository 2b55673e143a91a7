"""Tiny artifacts to time: graphs made by hand, which load in a fraction of a second, and one tiny BERT."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from hfcompress.benchmark import process
from hfcompress.benchmark.session import Subject

VOCABULARY = 64


@pytest.fixture(scope="module", autouse=True)
def _workers_are_real() -> Iterator[None]:
    """Interpreters of their own, as users have them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "subprocess", subprocess)
        yield


@pytest.fixture(scope="session")
def onnx_subject(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Subject]:
    """Makes a subject: a graph that takes token ids and a mask, with `layers` square products as its work."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def make(name: str, layers: int = 1) -> Subject:
        helper, numbers = onnx.helper, onnx.TensorProto
        rng = np.random.default_rng(0)
        weights = {"embedding": (VOCABULARY, 64), "square": (64, 64), "classifier": (64, 2)}
        constants = [
            onnx.numpy_helper.from_array(rng.normal(size=size).astype(np.float32) / 8, weight)
            for weight, size in weights.items()
        ]
        constants.append(onnx.numpy_helper.from_array(np.array([1]), "tokens"))
        nodes = [helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"])]
        nodes.append(helper.make_node("Gather", ["embedding", "kept"], ["hidden0"]))
        nodes += [helper.make_node("MatMul", [f"hidden{i}", "square"], [f"hidden{i + 1}"]) for i in range(layers)]
        nodes.append(helper.make_node("ReduceSum", [f"hidden{layers}", "tokens"], ["pooled"], keepdims=0))
        nodes.append(helper.make_node("MatMul", ["pooled", "classifier"], ["logits"]))
        shape = ["batch", "sequence"]
        inputs = [helper.make_tensor_value_info(n, numbers.INT64, shape) for n in ("input_ids", "attention_mask")]
        outputs = [helper.make_tensor_value_info("logits", numbers.FLOAT, ["batch", 2])]
        graph = helper.make_graph(nodes, "classifier", inputs, outputs, constants)
        folder = tmp_path_factory.mktemp(name)
        opset = helper.make_opsetid("", 17)
        onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), folder / "model.onnx")
        return Subject(name, folder, "onnx", "text-classification")

    return make


@pytest.fixture(scope="session")
def torch_subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A tiny random BERT with a head for two labels."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=64, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    return Subject("tiny-bert", folder, "torch", "text-classification")


@pytest.fixture(scope="session")
def make_batch() -> Callable[[int, int], dict[str, np.ndarray]]:
    """Makes a batch of so many rows and tokens, with columns that no model takes."""

    def make(rows: int, tokens: int) -> dict[str, np.ndarray]:
        ids = np.random.default_rng(rows * 1000 + tokens).integers(0, VOCABULARY, (rows, tokens))
        return {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "labels": np.zeros(rows),
            "row_id": np.arange(rows),
        }

    return make
