"""The OpenVINO runtime: ONNX Runtime's answers on the same graph, whatever the length, from several threads at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress import host
from hfcompress.errors import InputError, ModelError, ProviderError
from hfcompress.openvino_ir.convert import convert_onnx
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.runtimes.open import runtime_for
from hfcompress.runtimes.openvino import OpenVinoRuntime, integer_product_count
from hfcompress.runtimes.settings import Settings
from tests import int8_graphs

pytestmark = [pytest.mark.export, pytest.mark.openvino]

WriteGraph = Callable[..., Path]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported BERT; its config says that it takes 64 tokens."""
    return int8_graphs.export_bert(tmp_path_factory.mktemp("openvino"))


@pytest.fixture
def graph(tmp_path: Path, write_graph: WriteGraph) -> Path:
    return write_graph(tmp_path / "graph" / "model.onnx")


def text(rows: int, tokens: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = np.ones((rows, tokens), dtype=np.int64)
    mask[-1, tokens // 2 :] = 0
    return {
        "input_ids": rng.integers(5, 50, (rows, tokens)),
        "attention_mask": mask,
        "token_type_ids": np.zeros((rows, tokens), dtype=np.int64),
    }


def requested(runtime: OpenVinoRuntime, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Fills with the shape of every call that OpenVINO gets."""
    shapes: list[tuple[int, ...]] = []
    infer = runtime._infer

    def spied(inputs: Any) -> dict[str, np.ndarray]:
        shapes.append(inputs["attention_mask"].shape)
        return infer(inputs)

    monkeypatch.setattr(runtime, "_infer", spied)
    return shapes


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_it_answers_as_onnx_runtime_at_every_length(format: str, bert: Path, tmp_path: Path) -> None:
    source = convert_onnx(bert / "model.onnx", tmp_path).parent if format == "openvino" else bert
    runtime = runtime_for(source, format, "text-classification", Settings("openvino", 1))
    assert runtime.name == "openvino:CPU"
    assert set(runtime.input_names) == {"input_ids", "attention_mask", "token_type_ids"}
    reference = OnnxRuntime(bert, threads=1)
    for rows, tokens in ((1, 1), (1, 17), (3, 23), (1, 63), (2, 64)):
        batch = text(rows, tokens)
        found, expected = runtime.predict(batch)["logits"], reference.predict(batch)["logits"]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_lengths_are_rounded_and_the_answers_stay(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = OpenVinoRuntime(bert, settings=Settings(threads=1))
    shapes = requested(runtime, monkeypatch)
    found = [runtime.predict(text(1, tokens))["logits"] for tokens in range(33, 65)]
    assert {tokens for _, tokens in shapes} == {36, 40, 44, 48, 52, 56, 60, 64}
    runtime._most = 0  # as for a model without a mask: every length as it comes
    exact = [runtime.predict(text(1, tokens))["logits"] for tokens in range(33, 65)]
    assert {tokens for _, tokens in shapes[len(found) :]} == set(range(33, 65))
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_outputs_for_each_token_come_back_at_their_own_length(tmp_path: Path) -> None:
    import onnx

    names, helper = ("input_ids", "attention_mask"), onnx.helper
    inputs = [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["rows", "tokens"]) for name in names]
    outputs = [helper.make_tensor_value_info("logits", onnx.TensorProto.INT64, ["rows", "tokens"])]
    nodes = [helper.make_node("Mul", list(names), ["logits"])]
    made = helper.make_model(
        helper.make_graph(nodes, "tokens", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(made, tmp_path / "model.onnx")
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    batch = text(1, 35)
    found = OpenVinoRuntime(tmp_path, settings=Settings(threads=1)).predict(batch)["logits"]
    assert np.array_equal(found, batch["input_ids"] * batch["attention_mask"])


def test_without_a_config_no_length_is_rounded(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = OpenVinoRuntime(graph, settings=Settings(threads=1))
    shapes = requested(runtime, monkeypatch)
    runtime.predict(text(1, 35))
    assert shapes == [(1, 35)]


def test_calls_from_several_threads_do_not_mix(bert: Path) -> None:
    runtime = OpenVinoRuntime(bert, settings=Settings(threads=1, streams=2))
    batches = [text(1, 5 + seed % 30, seed) for seed in range(64)]
    alone = [runtime.predict(batch)["logits"] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: runtime.predict(batch)["logits"], batches))
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert 1 <= len(runtime._idle) <= 4, "a request for each call at once, and no more"


def test_an_answer_is_not_written_over_by_the_next_call(bert: Path) -> None:
    runtime = OpenVinoRuntime(bert, settings=Settings(threads=1))
    first = runtime.predict(text(1, 9))["logits"]
    kept = first.copy()
    runtime.predict(text(1, 9, seed=1))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    "settings, hint, streams, threads",
    [
        (Settings(threads=1), "LATENCY", 1, 1),
        (Settings(threads=1, streams=2), "THROUGHPUT", 2, 2),
    ],
)
def test_streams_and_threads_are_those_that_were_asked_for(
    settings: Settings, hint: str, streams: int, threads: int, graph: Path
) -> None:
    runtime = OpenVinoRuntime(graph, settings=settings)
    said = {key: runtime._model.get_property(key) for key in ("PERFORMANCE_HINT", "NUM_STREAMS", "ENABLE_CPU_PINNING")}
    assert said["PERFORMANCE_HINT"] == hint
    assert said["NUM_STREAMS"] == streams
    assert said["ENABLE_CPU_PINNING"] is False
    assert runtime._model.get_property("INFERENCE_NUM_THREADS") == threads
    assert runtime.threads == 1


def test_all_cores_are_shared_among_the_streams(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert OpenVinoRuntime(graph, settings=Settings(streams=2)).threads == 1
    assert OpenVinoRuntime(graph).threads == 2


def test_floating_point_is_fp32_unless_something_else_is_asked_for(graph: Path) -> None:
    runtime = OpenVinoRuntime(graph, settings=Settings(threads=1))
    assert {product.precision for product in runtime.products()} == {"f32"}


@pytest.mark.skipif(not host.has_bf16(), reason="needs a CPU that computes in bf16")
def test_bf16_is_computed_where_the_cpu_has_it(bert: Path) -> None:
    runtime = OpenVinoRuntime(bert, settings=Settings(threads=1, precision="bf16"))
    assert {product.precision for product in runtime.products()} == {"bf16"}


def test_bf16_on_a_cpu_without_it_is_refused(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "has_bf16", lambda: False)
    with pytest.raises(ProviderError, match="does not compute in bf16 on this machine"):
        OpenVinoRuntime(graph, settings=Settings(precision="bf16"))


@pytest.mark.parametrize("device", ["GPU", "NPU", "AUTO", "HETERO:CPU", "cpu"])
def test_a_device_that_is_not_there_is_refused(device: str, graph: Path) -> None:
    with pytest.raises(ProviderError, match=rf"no device '{device}' here; it has CPU; ask for `openvino:CPU`"):
        runtime_for(graph, "onnx", "text-classification", Settings(f"openvino:{device}"))


def test_a_missing_input_is_named(graph: Path) -> None:
    with pytest.raises(InputError, match="in openvino:CPU needs attention_mask"):
        OpenVinoRuntime(graph, settings=Settings(threads=1)).predict({"input_ids": np.zeros((1, 2), dtype=np.int64)})


def test_what_openvino_cannot_read_is_a_clear_error(graph: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(graph)
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, graph)
    with pytest.raises(ModelError, match=r"OpenVINO cannot load .*model\.onnx: .*NoSuchOperator"):
        OpenVinoRuntime(graph)


def test_dynamic_int8_of_onnx_runtime_is_refused(saturating: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=r"is dynamic INT8 for ONNX Runtime.*run it in `onnxruntime`"):
        OpenVinoRuntime(saturating["int8"])


def test_a_folder_in_its_own_format_runs_in_openvino_alone(bert: Path, tmp_path: Path) -> None:
    convert_onnx(bert / "model.onnx", tmp_path)
    with pytest.raises(InputError, match=r"`onnxruntime` cannot run .* which is openvino; use `openvino`"):
        runtime_for(tmp_path, "openvino", "text-classification", Settings("onnxruntime"))
    assert runtime_for(tmp_path, "openvino", "text-classification").name == "openvino:CPU"
    assert integer_product_count(tmp_path) == 0
