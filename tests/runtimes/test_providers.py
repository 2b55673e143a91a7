"""Providers of GPUs on machines without one: the refusal, with the nodes and the reasons from ONNX Runtime's log.

The stand-ins say and do what onnxruntime-gpu 1.31.1 said and did on a machine without CUDA and TensorRT, which the test
marked slow does again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hfcompress.errors import ProviderError
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.runtimes.providers import CPU, CUDA, RECORD, TENSORRT, captured_log, check_provider, elsewhere, reasons

onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.export

ORIGIN = "/src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& ProviderLibrary::Get()"
#: What the log held, word for word but for folders.
LOG = {
    TENSORRT: (
        f"\x1b[1;31m2026-01-02 03:04:05.6 [E:onnxruntime:Default, provider_bridge_ort.cc:2430 operator()] {ORIGIN} "
        "[ONNXRuntimeError] : 1 : FAIL : Failed to load library /venv/libonnxruntime_providers_tensorrt.so with error: "
        "libcublas.so.13: cannot open shared object file: No such file or directory\n\x1b[m\n"
    ),
    CUDA: (
        f"\x1b[1;31m2026-01-02 03:04:05.6 [E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] {ORIGIN} "
        "[ONNXRuntimeError] : 1 : FAIL : Failed to load library /venv/libonnxruntime_providers_cuda.so with error: "
        "libcublasLt.so.13: cannot open shared object file: No such file or directory\n\x1b[m\n"
        "\x1b[0;93m2026-01-02 03:04:05.7 [W:onnxruntime:Default, onnxruntime_pybind_state.cc:1295 "
        "CreateExecutionProviderFactoryInstance] Failed to create CUDAExecutionProvider. Require cuDNN 9.*."
        "\x1b[m\n"
    ),
}
TENSORRT_REFUSES = (
    "/src/onnxruntime/python/onnxruntime_pybind_state.cc:729 void RegisterTensorRTPluginsAsCustomOps() Please install "
    "TensorRT libraries as mentioned in the GPU requirements page, make sure they're in the PATH or LD_LIBRARY_PATH, "
    "and that your GPU is supported.\n"
)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A Relu and a NonZero."""
    nodes = [
        onnx.helper.make_node("Relu", ["x"], ["r"], name="/act/Relu"),
        onnx.helper.make_node("NonZero", ["r"], ["y"], name="/found/NonZero"),
    ]
    inputs = [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["rows", 4])]
    outputs = [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT64, [2, None])]
    made = onnx.helper.make_graph(nodes, "g", inputs, outputs)
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-gpu where no library of NVIDIA's is."""
    real = onnxruntime.InferenceSession

    class Session(real):  # type: ignore[misc, valid-type]
        def __init__(self, path: str, sess_options: Any, providers: Any, **more: Any) -> None:
            ((provider, _),) = providers
            if provider in LOG:
                os.write(2, LOG[provider].encode())  # as native code does, past sys.stderr
            if provider == TENSORRT:
                raise RuntimeError(TENSORRT_REFUSES)
            super().__init__(path, sess_options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize(
    "provider, library, extra", [(TENSORRT, "libcublas", "tensorrt"), (CUDA, "libcublasLt", "onnxruntime-gpu")]
)
def test_a_provider_that_cannot_be_loaded_is_an_error_with_the_reason_of_the_log_and_no_run_on_the_cpu(
    graph: Path, provider: str, library: str, extra: str, capfd: Any
) -> None:
    with pytest.raises(ProviderError) as refused:
        OnnxRuntime(graph, provider)
    said = str(refused.value)
    assert said.startswith(f"{provider} cannot be loaded")
    assert f".so with error: {library}.so.13: cannot open shared object file" in said
    assert said.endswith(f"(pip install 'hfcompress[{extra}]', the driver), or ask for {CPU}")
    assert "/venv" not in said
    assert "Failed to load" not in capfd.readouterr().err, "the reason is in the error, not on the screen"


def placed(**providers: list[tuple[str, str]]) -> Any:
    """An open session that says who computes what."""
    parts = [
        SimpleNamespace(
            ep_name=f"{name}ExecutionProvider",
            get_nodes=lambda nodes=nodes: [SimpleNamespace(name=node, op_type=kind) for node, kind in nodes],
        )
        for name, nodes in providers.items()
    ]
    first = f"{next(iter(providers))}ExecutionProvider"
    return SimpleNamespace(get_provider_graph_assignment_info=lambda: parts, get_providers=lambda: [first, CPU])


def test_nodes_that_tensorrt_leaves_to_another_provider_are_listed_with_the_reasons() -> None:
    session = placed(
        Tensorrt=[("/act/Relu", "Relu")],
        CUDA=[("/a", "NonZero")],
        CPU=[(f"/n{index}", "Shape") for index in range(9)],
    )
    log = "[W:onnxruntime:Default, tensorrt_execution_provider.h:90 log] [2] UNSUPPORTED_NODE: NonZero\nother\n"
    with pytest.raises(ProviderError) as refused:
        check_provider(session, TENSORRT, "model.onnx", log)
    said = str(refused.value)
    assert (
        "does not compute the whole of model.onnx: it leaves 1 to CUDAExecutionProvider, 9 to CPUExecutionProvider"
        in said
    )
    assert "namely /a (NonZero), /n0 (Shape), " in said
    assert "/n6 (Shape) and 2 more: [2] UNSUPPORTED_NODE: NonZero; ask for" in said
    check_provider(placed(Tensorrt=[("/act/Relu", "Relu")]), TENSORRT, "model.onnx", log)


def test_sizes_are_the_cpus_beside_cuda_and_nothing_else_is() -> None:
    sizes = [("/shape", "Shape"), ("/gather", "Gather"), ("/concat", "Concat")]
    check_provider(placed(CUDA=[("/m", "MatMul")], CPU=sizes), CUDA, "model.onnx", "")
    assert [node.name for node in elsewhere(placed(CUDA=[], CPU=[*sizes, ("/m", "MatMul")]), CUDA)] == ["/m"]
    assert len(elsewhere(placed(Tensorrt=[], CPU=sizes), TENSORRT)) == 3


def test_a_real_session_tells_who_computes_each_node(graph: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(RECORD, "1")
    session = onnxruntime.InferenceSession(graph, options, providers=[CPU])
    assert elsewhere(session, CPU) == []
    assert {(node.name, node.operator, node.provider) for node in elsewhere(session, TENSORRT)} == {
        ("/act/Relu", "Relu", CPU),
        ("/found/NonZero", "NonZero", CPU),
    }


def test_reasons_are_errors_once_or_warnings_where_there_are_none() -> None:
    assert reasons(LOG[CUDA] * 2) == [
        "Failed to load library libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared "
        "object file: No such file or directory"
    ]
    assert reasons(LOG[CUDA].splitlines()[2]) == ["Failed to create CUDAExecutionProvider. Require cuDNN 9.*."]
    assert reasons("no line of a log") == []


def test_what_is_written_to_stderr_comes_back_and_stderr_with_it(capfd: Any) -> None:
    with captured_log() as log:
        os.write(2, b"within\n")
        assert log() == "within\n"
    os.write(2, b"after\n")
    assert log() == "within\n"
    assert capfd.readouterr().err == "after\n"


def test_threads_that_open_sessions_at_once_leave_stderr_as_it_was(capfd: Any) -> None:
    within, ended = threading.Event(), []

    def second() -> None:
        within.wait()
        with captured_log() as log:
            os.write(2, b"second\n")
            ended.append(log())

    thread = threading.Thread(target=second)
    thread.start()
    with captured_log() as log:
        within.set()
        thread.join(0.1)  # it waits for this block, or stands in it
        os.write(2, b"first\n")
        assert log() == "first\n"
    thread.join()
    os.write(2, b"after\n")
    assert ended == ["second\n"]
    assert capfd.readouterr().err == "after\n"


#: Opens a graph on each provider; prints what it is told.
OPEN = """
import sys
from pathlib import Path
from hfcompress.errors import ProviderError
from hfcompress.runtimes.onnxruntime import OnnxRuntime

for provider in ("TensorrtExecutionProvider", "CUDAExecutionProvider"):
    try:
        OnnxRuntime(Path(sys.argv[1]), provider, threads=1)
    except ProviderError as error:
        print(error)
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_onnxruntime_gpu_without_cuda_is_refused_in_the_same_words(graph: Path, tmp_path: Path) -> None:
    run: Callable[..., Any] = subprocess.run
    python = tmp_path / "venv" / "bin" / "python"
    run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    wheel = os.environ.get("HFCOMPRESS_ORT_GPU_WHEEL", "onnxruntime-gpu")
    run([python, "-m", "pip", "install", "-q", wheel, "numpy"], check=True, timeout=1000)
    probe = "import ctypes; ctypes.CDLL('libcuda.so.1')"
    if run([python, "-c", probe], capture_output=True, check=False).returncode == 0:
        pytest.skip("this machine has CUDA, so its providers may load")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = run([python, "-c", OPEN, graph], env=environment, capture_output=True, text=True, check=True)
    tensorrt, cuda = done.stdout.splitlines()
    assert tensorrt.startswith("TensorrtExecutionProvider cannot be loaded, ")
    assert cuda.startswith("CUDAExecutionProvider cannot be loaded, ")
    for line, name in ((tensorrt, "tensorrt"), (cuda, "cuda")):
        assert f"Failed to load library libonnxruntime_providers_{name}.so with error: lib" in line
    assert done.stderr == ""
