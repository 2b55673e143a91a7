"""`measure.py` and its package where only numpy and one runtime are: what they measure, and what they refuse."""

from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hfcompress import host as package_host
from hfcompress.bundle.measurement import read_measurement
from hfcompress.bundle.measuring import host, open_vino, run
from hfcompress.bundle.measuring.answers import Tally, judge
from hfcompress.bundle.measuring.batches import Packed
from hfcompress.bundle.measuring.checksums import sha256
from hfcompress.bundle.measuring.failures import RefusedError, refusing
from hfcompress.bundle.measuring.onnx_runtime import CPU, CUDA, check_placement, failures_of
from hfcompress.bundle.measuring.run import measure
from hfcompress.runtimes.openvino import _PRECISIONS
from hfcompress.runtimes.providers import SIZE_OPERATORS
from tests.bundle.conftest import Device, read

pytestmark = pytest.mark.export
Bundled = Callable[..., Path]


def ran(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_runs_where_only_numpy_and_onnx_runtime_are(bundled: Bundled, device: Device, tmp_path: Path) -> None:
    probe = tmp_path / "probe.py"
    names = ("hfcompress", "torch", "transformers", "onnx", "pydantic", "scipy", "pip", "numpy", "onnxruntime")
    probe.write_text(f"from importlib.util import find_spec\nprint([n for n in {names} if find_spec(n)])")
    assert ran(device(probe)).strip() == "['numpy', 'onnxruntime']"

    folder = bundled("onnxruntime")
    said = ran(device(folder / "measure.py"))
    found = read(folder / "measurement.json")
    assert found["agreement"]["share"] == 1.0
    assert found["agreement"]["max_difference"] == 0.0
    assert (found["accuracy"]["won"], found["accuracy"]["lost"]) == (0, 0)
    assert found["throughput"]["rows"] == 32
    assert [(cell["batch"], cell["sequence"]) for cell in found["latency"]] == [(1, 8), (1, 24), (4, 8), (4, 24)]
    for cell in found["latency"]:
        assert len(cell["seconds"]) == 6
        assert cell["p99_ms"] == pytest.approx(1e3 * float(np.percentile(cell["seconds"], 99)))
    assert "agreement with onnxruntime:CPUExecutionProvider: 100.0% of 32 decisions" in said
    assert (
        read_measurement(folder / "measurement.json").artifact.digest
        == read(folder / "bundle.json")["artifact"]["digest"]
    )


def test_another_runtime_is_compared_with_the_answers_that_travel_along(bundled: Bundled, device: Device) -> None:
    pytest.importorskip("openvino")
    folder = bundled("openvino")
    ran(device(folder / "measure.py", runtime="openvino"))
    found = read(folder / "measurement.json")
    assert found["runtime"]["name"] == "openvino:CPU"
    assert found["agreement"]["reference"] == "onnxruntime:CPUExecutionProvider"
    assert found["agreement"]["equal"] >= 31
    assert 0 < found["agreement"]["max_difference"] < 0.1


def build(folder: Path) -> None:
    """Run build.sh with a trtexec that copies the graph, which is the engine of the TensorRT beside this file."""
    trtexec = folder.with_name("tensorrt-trtexec")
    trtexec.write_text('#!/bin/sh\nfor a; do case $a in --saveEngine=*) cp model.onnx "${a#*=}";; esac; done\n')
    trtexec.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "TRTEXEC": str(trtexec)}
    subprocess.run(["sh", str(folder / "build.sh")], env=environment, check=True)


def test_the_calls_of_tensorrt_and_its_driver_give_what_the_graph_gives(bundled: Bundled, device: Device) -> None:
    folder = bundled("jetson")
    beside = Path(__file__).parent
    missing = device(folder / "measure.py", runtime="tensorrt", path=beside)
    assert missing.returncode == 2
    assert "engine.plan is not there: run ./build.sh on this machine first" in missing.stderr
    build(folder)
    ran(device(folder / "measure.py", runtime="tensorrt", path=beside))
    found = read(folder / "measurement.json")
    assert (found["runtime"]["name"], found["host"]["gpus"]) == ("tensorrt", ["Orin"])
    assert found["agreement"]["share"] == 1.0
    assert found["agreement"]["max_difference"] < 1e-5
    (folder / "engine.plan").write_bytes(b"of another version")
    stale = device(folder / "measure.py", runtime="tensorrt", path=beside)
    assert "TensorRT 10.3.0 cannot read engine.plan" in stale.stderr
    (folder / "engine.plan").write_bytes(b"too large")
    large = device(folder / "measure.py", runtime="tensorrt", path=beside)
    assert large.returncode == 2
    assert "TensorRT cannot prepare engine.plan to run, most often for want of memory" in large.stderr


def test_an_engine_of_a_bundle_that_lay_there_before_is_refused(bundled: Bundled, device: Device) -> None:
    folder, newer = bundled("jetson"), bundled("trtexec")
    build(folder)
    shutil.copytree(newer, folder, dirs_exist_ok=True)
    done = device(folder / "measure.py", runtime="tensorrt", path=Path(__file__).parent)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert "engine.plan was not built of this bundle" in said
    assert "run ./build.sh again" in said
    build(folder)
    ran(device(folder / "measure.py", runtime="tensorrt", path=Path(__file__).parent))
    (folder / "engine.plan.of").unlink()
    assert device(folder / "measure.py", runtime="tensorrt", path=Path(__file__).parent).returncode == 2


def test_a_damaged_bundle_names_the_file_and_measures_nothing(bundled: Bundled, device: Device) -> None:
    folder = bundled("onnxruntime")
    whole = (folder / "sample.npz").read_bytes()
    (folder / "sample.npz").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = device(folder / "measure.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "sample.npz is not what it was when the bundle was made; copy the bundle again" in done.stderr
    (folder / "sample.npz").unlink()
    assert "sample.npz is missing; copy the bundle again" in device(folder / "measure.py").stderr
    assert not (folder / "measurement.json").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("none/found.json", "none/found.json cannot be written (No such file or directory); name another file"),
        ("file/found.json", "file/found.json cannot be written (Not a directory); name another file"),
        (".", "is a folder; name a file with --out"),
    ],
)
def test_where_nothing_can_be_written_nothing_is_measured(
    out: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run.main(tmp_path / "no bundle", ["--out", str(tmp_path / out)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("measure.py: ")
    assert message in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_was_measured_is_printed_where_it_cannot_be_written_any_more(
    bundled: Bundled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = bundled("onnxruntime")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "replace", full)
    assert run.main(folder, ["--out", str(tmp_path / "out" / "found.json")]) == 2
    said = capsys.readouterr()
    assert "throughput: " in said.out
    assert "found.json cannot be written (No space left on device)" in said.err
    assert not list((tmp_path / "out").iterdir())


def test_a_provider_that_is_not_there_is_refused(bundled: Bundled, device: Device) -> None:
    done = device(bundled("onnxruntime") / "measure.py", "--provider", "TensorrtExecutionProvider")
    assert done.returncode == 2
    assert "this ONNX Runtime has no TensorrtExecutionProvider; it has" in done.stderr


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_a_provider_that_cannot_be_opened_is_refused_with_its_own_words(
    kind: type[Exception], bundled: Bundled, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")

    def fail(*asked: Any) -> None:
        raise kind("no CUDA-capable\ndevice is detected")

    folder = bundled("onnxruntime")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", fail)
    assert run.main(folder, ["--provider", CUDA]) == 2
    said = capsys.readouterr()
    assert said.out == ""  # where ONNX Runtime says that it falls back
    expected = f"onnxruntime cannot open model.onnx with {CUDA}: no CUDA-capable device is detected"
    assert said.err == f"measure.py: {expected}\n"


def test_tensorrt_has_no_providers_to_choose_from(bundled: Bundled, device: Device) -> None:
    done = device(bundled("jetson") / "measure.py", "--provider", CPU, runtime="tensorrt", path=Path(__file__).parent)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said == f"measure.py: an engine of TensorRT runs on its GPU and not on {CPU}; leave --provider out"


def test_a_provider_that_leaves_operators_to_another_is_refused(bundled: Bundled) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    azure = "AzureExecutionProvider"  # which CPU builds have, and which computes nothing of a graph
    if azure not in onnxruntime.get_available_providers():
        pytest.skip(f"this build has no {azure}")
    with pytest.raises(RefusedError, match=rf"{azure} leaves \d+ operators to {CPU}, as "):
        measure(bundled("onnxruntime"), 1, azure)


def test_sizes_beside_cuda_may_be_computed_on_the_cpu_and_nothing_else() -> None:
    def part(provider: str, *operators: str) -> Any:
        nodes = [SimpleNamespace(name=f"/{name}", op_type=name) for name in operators]
        return SimpleNamespace(ep_name=provider, get_nodes=lambda: nodes)

    cuda, sizes = part(CUDA, "MatMul"), part(CPU, "Shape", "Gather")
    check_placement([cuda, sizes], CUDA, SIZE_OPERATORS)
    with pytest.raises(RefusedError, match=r"leaves 2 operators to CPUExecutionProvider, as /Shape"):
        check_placement([part("Other", "MatMul"), sizes], "Other", SIZE_OPERATORS)
    with pytest.raises(RefusedError, match=r"leaves 1 operators to CPUExecutionProvider, as /MatMul .MatMul."):
        check_placement([cuda, sizes, part(CPU, "MatMul")], CUDA, SIZE_OPERATORS)


def resealed(folder: Path) -> Path:
    """Checksums of what is in the folder now: what a runtime says of it, not what `verify` does."""
    sums = folder / "SHA256SUMS"
    names = [line.partition("  ")[2] for line in sums.read_text().splitlines()]
    sums.write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))
    return folder


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_what_a_runtime_fails_with_is_one_line_and_no_traceback(target: str, bundled: Bundled, device: Device) -> None:
    pytest.importorskip(target)
    folder = bundled(target)
    (folder / "model.onnx").write_bytes(b"no graph")
    done = device(resealed(folder) / "measure.py", runtime=target)
    assert done.returncode == 2
    assert f"measure.py: {target} cannot open model.onnx" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_of_the_script_is_none_of_the_runtime_and_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="cannot run: out of memory"), refusing("cannot run", (RuntimeError,)):
        raise RuntimeError("out\nof  memory")
    with pytest.raises(KeyError), refusing("cannot run", (RuntimeError,)):
        {}["logits"]
    onnxruntime = pytest.importorskip("onnxruntime")
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(failures_of(onnxruntime)):
        onnxruntime.InferenceSession(tmp_path / "no.onnx")


@pytest.mark.parametrize(
    ("device_name", "precision", "flags", "message"),
    [
        ("AUTO", "fp32", "", "OpenVINO has no device AUTO here; it has CPU"),
        ("HETERO:CPU", "fp32", "", "OpenVINO has no device HETERO:CPU here"),
        ("CPU", "bf16", "avx2", "OpenVINO's CPU does not compute in bf16 here"),
    ],
)
def test_openvino_refuses_devices_that_choose_and_precisions_that_are_imitated(
    device_name: str, precision: str, flags: str, message: str, bundled: Bundled, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(host, "fields_of", lambda path: {"flags": flags})
    with pytest.raises(RefusedError, match=message):
        measure(bundled("openvino", precision=precision), 1, device_name)


class Taken:
    """OpenVINO on a machine that takes another device, or computes in another type, than was asked for."""

    def __init__(self, devices: list[str], hint: str) -> None:
        self.available_devices = ["CPU"]
        self._found = {
            "OPTIMIZATION_CAPABILITIES": ["FP32", "FP16"],
            "EXECUTION_DEVICES": devices,
            "INFERENCE_PRECISION_HINT": SimpleNamespace(get_type_name=lambda: hint),
        }

    def get_property(self, *names: str) -> Any:
        return self._found[names[-1]]

    def compile_model(self, *asked: Any) -> Taken:
        return self


@pytest.mark.parametrize(
    ("devices", "hint", "message"),
    [(["GPU.0"], "f16", "uses GPU.0 and not CPU"), (["CPU"], "bf16", "CPU computes in bf16 and not in fp16 here")],
)
def test_openvino_is_asked_what_it_took(
    devices: list[str], hint: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = SimpleNamespace(Core=lambda: Taken(devices, hint), __version__="2026.4")
    monkeypatch.setattr(open_vino, "load_library", lambda name, how: library)
    with pytest.raises(RefusedError, match=message):
        open_vino.OpenVino(tmp_path, {"precision": "fp16", "model": "model.onnx", "outputs": []}, 1, CPU)


def test_openvino_pins_no_threads_as_where_it_serves(bundled: Bundled) -> None:
    pytest.importorskip("openvino")
    folder = bundled("openvino")
    compiled = open_vino.OpenVino(folder, read(folder / "bundle.json"), 1, CPU)._request.get_compiled_model()
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


def test_a_runtime_that_is_not_installed_is_named(bundled: Bundled, device: Device) -> None:
    done = device(bundled("openvino") / "measure.py")
    assert done.returncode == 2
    assert "the Python package openvino cannot be imported" in done.stderr


def test_what_is_copied_is_python_of_a_jetson_and_imports_no_more_than_it_says(bundled: Bundled) -> None:
    folder = bundled("onnxruntime")
    files = [folder / "measure.py", *sorted((folder / "measuring").iterdir())]
    assert {path.suffix for path in files} == {".py"}
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 10)))]
    named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    within = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {node.level for node in within} == {0, 1}
    named += [node.module or "" for node in within if node.level == 0]
    standard = {"argparse", "ctypes", "hashlib", "importlib", "json", "os", "platform", "resource", "shutil"}
    standard |= {"subprocess", "sys", "time", "collections", "contextlib", "pathlib", "typing", "__future__"}
    assert {name.partition(".")[0] for name in named} <= standard | {"numpy", "measuring"}


@pytest.mark.parametrize("decision", ["class", "classes", "number"])
def test_decisions_and_differences_are_those_of_the_whole_sample(decision: str) -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(50, 4)).astype(np.float32)
    ours = reference + rng.normal(scale=0.1, size=reference.shape).astype(np.float32)
    spread = float(np.ptp(reference))
    tally = Tally(decision, spread)
    for start in range(0, 50, 7):
        tally.compare(ours[start : start + 7], reference[start : start + 7])
    same = {
        "class": ours.argmax(1) == reference.argmax(1),
        "classes": (ours > 0) == (reference > 0),
        "number": np.abs(ours.astype(np.float64) - reference) <= 0.01 * spread,
    }[decision]
    found = tally.agreement()
    assert 0 < same.mean() < 1
    assert found["share"] == pytest.approx(same.mean())
    assert found["max_difference"] == pytest.approx(float(np.abs(ours - reference).max()), rel=1e-5)
    assert found["rms_difference"] == pytest.approx(float(np.sqrt(np.square(ours - reference).mean())), rel=1e-5)


def test_won_and_lost_are_rows_whose_verdict_changed() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    reference, ours = (np.eye(2)[np.array(found)] for found in ([0, 1, 1, 1, 0], [0, 0, 1, 0, 0]))
    tally = Tally("class", 1.0)
    tally.judge(ours, reference, labels)
    assert tally.accuracy() == {"value": 2 / 5, "rows": 5, "correct": 2, "won": 1, "lost": 1}


def test_outputs_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "sample.npz", **{"0.x": np.zeros((1, 2))})
    np.savez(tmp_path / "reference.npz", **{"0.logits": np.zeros((1, 2)), "0.labels": np.zeros(1)})
    packed = [Packed(tmp_path / f"{name}.npz") for name in ("sample", "reference")]
    bundle: dict[str, Any] = {"decision": "class", "outputs": ["logits"], "metric": "accuracy"}

    def overflowing(batch: Any) -> Any:
        return {"logits": np.array([[np.inf, 0.0]])}

    with pytest.raises(RefusedError, match="1 of 2 numbers in `logits` are NaN or infinite"):
        judge(overflowing, bundle, *packed)


def test_what_is_copied_and_cannot_import_ours_says_the_same() -> None:
    assert open_vino.OPENVINO_PRECISIONS == _PRECISIONS
    assert host.describe_host([])["flags"] == package_host.describe_host().flags
    assert host.has_bf16() == package_host.has_bf16()
    assert host.usable_cores() == package_host.usable_cores()
