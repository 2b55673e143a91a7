"""The first-token rewrite: the same answers from fewer rows, and no change where it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.first_token import first_token_only_
from tests import tiny

pytestmark = pytest.mark.export


def export(folder: Path, out: Path, task: str = "text-classification") -> Any:
    import onnx

    from hfcompress.export.optimum import export_with_optimum

    export_with_optimum(folder, out, task, None)  # type: ignore[arg-type]
    return onnx.load(out / "model.onnx")


def save_family(family: str, folder: Path) -> Path:
    """A tiny random classifier of a family."""
    import torch
    import transformers

    torch.manual_seed(0)
    tokenizer = tiny.make_tokenizer()
    sizes = {**tiny.TINY, "num_hidden_layers": 2, "vocab_size": len(tokenizer), "max_position_embeddings": 70}
    if family == "DistilBert":
        sizes = {"dim": 32, "n_heads": 2, "hidden_dim": 64, "n_layers": 2, "vocab_size": len(tokenizer)}
    config = getattr(transformers, f"{family}Config")(**sizes, initializer_range=0.3, pad_token_id=0)
    getattr(transformers, f"{family}ForSequenceClassification")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    taken = {value.name: inputs[value.name] for value in session.get_inputs()}
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, taken), strict=True))


def text(rows: int, tokens: int, seed: int = 0) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(seed).integers(5, 50, size=(rows, tokens))
    mask = np.ones_like(ids)
    mask[0, max(1, tokens // 2) :] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def assert_equal_answers(before: Any, after: Any, batches: list[dict[str, np.ndarray]]) -> None:
    for batch in batches:
        expected, found = run(before, batch), run(after, batch)
        assert expected.keys() == found.keys()
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], atol=2e-6)


def copy_of(model: Any) -> Any:
    return type(model).FromString(model.SerializeToString())


@pytest.mark.parametrize("family", ["Bert", "DistilBert", "Roberta", "Electra"])
def test_text_classifiers_answer_alike_from_fewer_rows(family: str, tmp_path: Path) -> None:
    import onnx

    before = export(save_family(family, tmp_path / "torch"), tmp_path / "onnx")
    after = copy_of(before)
    assert first_token_only_(after) > 10
    onnx.checker.check_model(after, full_check=True)
    assert_equal_answers(before, after, [text(1, 5), text(3, 17), text(8, 40), text(2, 1)])


def test_a_vit_answers_alike(vit: Path, tmp_path: Path) -> None:
    from hfcompress.models.loading import load_model, save_model
    from hfcompress.tasks import get_task

    model = load_model(vit, "image-classification", labels=tiny.classes("cat", "dog"))
    save_model(model, get_task("image-classification").load_processor(vit), tmp_path / "torch")
    before = export(tmp_path / "torch", tmp_path / "onnx", "image-classification")
    after = copy_of(before)
    assert first_token_only_(after) > 10
    pixels = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    assert_equal_answers(before, after, [{"pixel_values": pixels}])


def test_the_feed_forward_network_of_the_last_layer_sees_one_token(classifier: Path, tmp_path: Path) -> None:
    import onnxruntime
    from onnx import helper

    model = export(classifier, tmp_path / "onnx")
    first_token_only_(model)
    gelus = [node.output[0] for node in model.graph.node if node.op_type in ("Gelu", "Erf")]
    model.graph.output.extend(
        [helper.make_empty_tensor_value_info(gelus[0]), helper.make_empty_tensor_value_info(gelus[-1])]
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    first, last = session.run([gelus[0], gelus[-1]], text(3, 17))
    assert first.shape[1] == 17
    assert last.shape[1] == 1


Build = Callable[[], Any]


def by_hand(nodes: list[Any], *, outputs: tuple[str, ...] = ("y",)) -> Any:
    """A graph over x (rows, tokens, 4) with the weight w (4, 4)."""
    from onnx import TensorProto, helper, numpy_helper

    weights = [
        numpy_helper.from_array(np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32), "w"),
        numpy_helper.from_array(np.array(0, dtype=np.int64), "first"),
        numpy_helper.from_array(np.array(1, dtype=np.int64), "second"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"),
        numpy_helper.from_array(np.array([-1, 4], dtype=np.int64), "flat"),
    ]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "tokens", 4])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "graph", [source], ends, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, inputs.split(), [output], name=output, **attributes)


def all_tokens_are_read() -> Any:
    return by_hand([node("MatMul", "x w", "a"), node("ReduceMean", "a", "y", axes=[1], keepdims=0)])


def the_second_token_is_read() -> Any:
    return by_hand([node("MatMul", "x w", "a"), node("Gather", "a second", "y", axis=1)])


@pytest.mark.parametrize("build", [all_tokens_are_read, the_second_token_is_read])
def test_a_graph_that_it_does_not_fit_is_left_as_it_is(build: Build) -> None:
    model = build()
    before = model.SerializeToString()
    assert first_token_only_(model) == 0
    assert model.SerializeToString() == before


def another_reader() -> Any:
    mean = node("ReduceMean", "a", "m", axes=[1], keepdims=0)
    first = node("Gather", "r first", "f", axis=1)
    return by_hand([node("MatMul", "x w", "a"), mean, node("Relu", "a", "r"), first, node("Add", "m f", "y")])


def an_output_of_all_tokens() -> Any:
    first = node("Gather", "r first", "y", axis=1)
    return by_hand([node("MatMul", "x w", "a"), node("Relu", "a", "r"), first], outputs=("y", "a"))


def a_softmax_over_tokens() -> Any:
    softmax = node("Softmax", "a", "s", axis=1)
    return by_hand(
        [node("MatMul", "x w", "a"), softmax, node("Relu", "s", "r"), node("Gather", "r first", "y", axis=1)]
    )


def tokens_as_rows() -> Any:
    flat = node("Reshape", "x flat", "f")
    back = [node("Shape", "x", "s"), node("Reshape", "p s", "r")]
    return by_hand(
        [flat, node("MatMul", "f w", "p"), *back, node("Relu", "r", "q"), node("Gather", "q first", "y", axis=1)]
    )


@pytest.mark.parametrize("build", [another_reader, an_output_of_all_tokens, a_softmax_over_tokens, tokens_as_rows])
def test_what_others_read_stays_whole(build: Build) -> None:
    before = build()
    after = copy_of(before)
    first_token_only_(after)
    x = np.random.default_rng(1).standard_normal((3, 5, 4)).astype(np.float32)
    assert_equal_answers(before, after, [{"x": x}, {"x": x[:1, :1]}])
