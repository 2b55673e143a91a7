"""A tiny BERT folder, a tiny graph made by hand, and a batch that both understand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

VOCABULARY = 64


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """Three rows of seven tokens, the last ones padded; and columns that no model takes."""
    rng = np.random.default_rng(0)
    mask = np.ones((3, 7), dtype=np.int64)
    mask[1, 4:] = 0
    return {
        "input_ids": rng.integers(0, VOCABULARY, (3, 7)),
        "attention_mask": mask,
        "labels": np.array([0, 1, 0]),
        "row_id": np.array([10, 11, 12]),
    }


@pytest.fixture
def write_graph() -> Callable[..., Path]:
    """Writes a classifier of two inputs: the mean embedding of the tokens under the mask, times a matrix."""
    onnx = pytest.importorskip("onnx")

    def write(path: Path, integers: str = "INT64", seed: int = 0) -> Path:
        helper, kind = onnx.helper, getattr(onnx.TensorProto, integers)
        rng = np.random.default_rng(seed)
        weights = {"embedding": (VOCABULARY, 8), "classifier": (8, 2)}
        constants = [
            onnx.numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name)
            for name, size in weights.items()
        ]
        constants.append(onnx.numpy_helper.from_array(np.array([1]), "tokens"))
        constants.append(onnx.numpy_helper.from_array(np.array([2]), "last"))
        nodes = [
            helper.make_node("Gather", ["embedding", "input_ids"], ["embedded"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["wide_mask"]),
            helper.make_node("Mul", ["embedded", "wide_mask"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "tokens"], ["pooled"], keepdims=0),
            helper.make_node("MatMul", ["pooled", "classifier"], ["logits"]),
        ]
        inputs = [
            helper.make_tensor_value_info(n, kind, ["batch", "sequence"]) for n in ("input_ids", "attention_mask")
        ]
        outputs = [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 2])]
        graph = helper.make_graph(nodes, "classifier", inputs, outputs, constants)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path

    return write


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT with a head for two labels, as a model folder."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=64, initializer_range=0.2, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
