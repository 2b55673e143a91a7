"""The ONNX runtime: one graph, the provider that was asked for, and the graph's own answers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.errors import ExtraError, InputError, ModelError, ProviderError
from hfcompress.runtimes.onnxruntime import OnnxRuntime

pytestmark = pytest.mark.export
onnxruntime = pytest.importorskip("onnxruntime")

Batch = dict[str, np.ndarray]
WriteGraph = Callable[..., Path]


def test_outputs_equal_those_of_the_reference_evaluator(tmp_path: Path, batch: Batch, write_graph: WriteGraph) -> None:
    from onnx.reference import ReferenceEvaluator

    graph = write_graph(tmp_path / "model.onnx")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    (expected,) = ReferenceEvaluator(str(graph)).run(["logits"], inputs)
    outputs = OnnxRuntime(tmp_path).predict(batch)
    assert list(outputs) == ["logits"]
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-5)


def test_a_file_is_taken_as_well_as_its_folder(tmp_path: Path, batch: Batch, write_graph: WriteGraph) -> None:
    graph = write_graph(tmp_path / "model.onnx")
    np.testing.assert_array_equal(
        OnnxRuntime(graph).predict(batch)["logits"], OnnxRuntime(tmp_path).predict(batch)["logits"]
    )


def test_inputs_are_cast_to_the_graphs_types(tmp_path: Path, batch: Batch, write_graph: WriteGraph) -> None:
    wide = OnnxRuntime(write_graph(tmp_path / "wide" / "model.onnx"))
    narrow = OnnxRuntime(write_graph(tmp_path / "narrow" / "model.onnx", integers="INT32"))
    expected = wide.predict(batch)["logits"]
    small = batch | {"attention_mask": batch["attention_mask"].astype(bool)}
    np.testing.assert_array_equal(wide.predict(small)["logits"], expected)
    np.testing.assert_array_equal(narrow.predict(batch)["logits"], expected)


def test_a_missing_input_is_named(tmp_path: Path, batch: Batch, write_graph: WriteGraph) -> None:
    write_graph(tmp_path / "model.onnx")
    del batch["attention_mask"]
    with pytest.raises(
        InputError, match="onnxruntime:CPUExecutionProvider needs attention_mask, and the batch holds input_ids"
    ):
        OnnxRuntime(tmp_path).predict(batch)


def test_it_says_what_it_is(tmp_path: Path, write_graph: WriteGraph) -> None:
    runtime = OnnxRuntime(write_graph(tmp_path / "model.onnx"), threads=1)
    assert runtime.name == "onnxruntime:CPUExecutionProvider"
    assert runtime.threads == 1
    assert runtime.input_names == ("input_ids", "attention_mask")
    assert runtime._session.get_session_options().intra_op_num_threads == 1


def test_a_provider_that_is_not_there_is_an_error_that_lists_those_that_are(
    tmp_path: Path, write_graph: WriteGraph
) -> None:
    write_graph(tmp_path / "model.onnx")
    with pytest.raises(
        ProviderError, match=r"no MIGraphXExecutionProvider; it has .*CPUExecutionProvider.*pip install"
    ):
        OnnxRuntime(tmp_path, provider="MIGraphXExecutionProvider")


def test_a_provider_that_gives_way_to_the_cpu_is_an_error(
    tmp_path: Path, write_graph: WriteGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_graph(tmp_path / "model.onnx")
    real = onnxruntime.InferenceSession
    options_seen: list[Any] = []

    def on_the_cpu(path: str, sess_options: Any, providers: Any, **more: Any) -> Any:
        options_seen.append(sess_options)
        return real(path, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    with pytest.raises(
        ProviderError, match=r"CUDAExecutionProvider cannot be loaded, .*would use CPUExecutionProvider"
    ):
        OnnxRuntime(tmp_path, provider="CUDAExecutionProvider")
    assert options_seen[0].get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


def test_provider_options_reach_the_provider(
    tmp_path: Path, write_graph: WriteGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnxruntime.InferenceSession
    seen: list[Any] = []

    def watched(path: str, providers: Any, **more: Any) -> Any:
        seen.append(providers)
        return real(path, providers=providers, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    OnnxRuntime(write_graph(tmp_path / "model.onnx"), provider_options={"use_arena": "0"})
    assert seen == [[("CPUExecutionProvider", {"use_arena": "0"})]]


def test_a_folder_without_a_graph_names_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match=r"no ONNX graph \(model.safetensors\)"):
        OnnxRuntime(tmp_path)


def test_a_folder_with_two_graphs_names_both(tmp_path: Path) -> None:
    for name in ("decoder.onnx", "encoder.onnx"):
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=r"2 ONNX graphs \(decoder.onnx, encoder.onnx\)"):
        OnnxRuntime(tmp_path)


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        OnnxRuntime(tmp_path / "absent")


@pytest.mark.parametrize(
    "content, message",
    # The second is a model of IR version 8 without a graph: what only ONNX Runtime itself can refuse.
    [(b"not a graph", r"model\.onnx is no ONNX model"), (b"\x08\x08", r"cannot load .*model\.onnx")],
)
def test_a_damaged_graph_is_an_error_that_names_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        OnnxRuntime(tmp_path)


def test_without_onnx_runtime_the_error_holds_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExtraError, match=r"pip install 'hfcompress\[onnxruntime\]'"):
        OnnxRuntime(tmp_path)


def test_threads_do_not_spin_after_a_call(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, values = onnx.helper, onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(np.ones((512, 512), dtype=np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["logits"])],
        "product",
        [helper.make_tensor_value_info("x", values, ["n", 512])],
        [helper.make_tensor_value_info("logits", values, ["n", 512])],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    runtime = OnnxRuntime(tmp_path, threads=4)
    burnt = []
    for _ in range(3):  # the quietest of three: other threads of the test process count too
        runtime.predict({"x": np.ones((256, 512), dtype=np.float32)})
        before = time.process_time()
        time.sleep(0.1)
        burnt.append(time.process_time() - before)
    assert min(burnt) < 0.01


def test_it_needs_neither_torch_nor_transformers(tmp_path: Path, write_graph: WriteGraph) -> None:
    write_graph(tmp_path / "model.onnx")
    code = (
        "import sys; from pathlib import Path; from hfcompress.runtimes.open import runtime_for; "
        f"runtime_for(Path({str(tmp_path)!r}), 'onnx', 'text-classification'); "
        "sys.exit(bool({'torch', 'transformers', 'optimum', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_skip_and_a_norm_are_not_fused_into_a_slower_operator_and_answer_alike(tmp_path: Path) -> None:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Add", ["x", "skip"], ["sum"]),
        helper.make_node("LayerNormalization", ["sum", "one", "one"], ["logits"], axis=-1, epsilon=1e-12),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, 8]) for name in ("x", "skip", "logits")]
    one = numpy_helper.from_array(np.ones(8, dtype=np.float32), "one")
    model = helper.make_model(
        helper.make_graph(nodes, "graph", ends[:2], ends[2:], [one]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "model.onnx")
    rng = np.random.default_rng(0)
    batch = {name: rng.normal(size=(2, 3, 8)).astype(np.float32) for name in ("x", "skip")}
    (tmp_path / "profile").mkdir()
    ours = OnnxRuntime(tmp_path, threads=1, profile=tmp_path / "profile").predict(batch)["logits"]
    (optimized,) = (tmp_path / "profile").glob("*.onnx")
    assert [node.op_type for node in onnx.load(optimized).graph.node] == ["Add", "LayerNormalization"]
    plain = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(ours, plain.run(None, batch)[0], atol=1e-5)
