"""A worker measures one artifact in a process of its own, and its death is told clearly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from hfcompress.benchmark.batches import read_batch, write_batch, write_batches
from hfcompress.benchmark.process import Subject, WorkerProcess
from hfcompress.errors import MeasurementError
from hfcompress.runtimes.settings import Settings

pytestmark = pytest.mark.export
Batch = dict[str, np.ndarray]
MakeBatch = Callable[[int, int], Batch]


@pytest.fixture
def subject(onnx_subject: Callable[..., Subject]) -> Subject:
    return onnx_subject("int8")


@pytest.fixture
def worker(subject: Subject, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker with its artifact loaded."""
    with WorkerProcess(subject, tmp_path) as process:
        process.load(threads=1)
        assert process.receive() == {"runtime": "onnxruntime:CPUExecutionProvider", "threads": 1}
        yield process


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def ask_until_dead(worker: WorkerProcess) -> None:
    """A signal takes a moment to arrive: the first requests may still be answered."""
    for _ in range(1000):
        worker.ask("memory")


def test_a_worker_times_the_calls_it_is_asked_for(worker: WorkerProcess, tmp_path: Path, make_batch: MakeBatch) -> None:
    inputs = write_batch(make_batch(4, 8), tmp_path / "cell.npz")
    seconds = worker.ask("time", inputs=str(inputs), warmup=2, calls=7)["seconds"]
    assert len(seconds) == 7
    assert all(0 < second < 10 for second in seconds)


def test_a_stream_counts_every_row_once(worker: WorkerProcess, tmp_path: Path, make_batch: MakeBatch) -> None:
    batches = write_batches([make_batch(4, 8), make_batch(4, 16), make_batch(3, 5)], tmp_path / "stream")
    reply = worker.ask("stream", batches=[str(path) for path in batches])
    assert reply["rows"] == 11
    assert reply["seconds"] > 0


def test_an_onnx_worker_imports_no_torch(subject: Subject, tmp_path: Path, make_batch: MakeBatch) -> None:
    inputs = write_batch(make_batch(2, 4), tmp_path / "cell.npz")
    load = {"path": str(subject.path), "format": "onnx", "task": subject.task, "settings": {"threads": 1}}
    code = f"""if True:
        import sys
        from hfcompress.benchmark.worker import Worker
        worker = Worker()
        worker.load(**{load!r})
        worker.time({str(inputs)!r}, 1, 1)
        worker.stream([{str(inputs)!r}])
        worker.memory()
        heavy = {{"torch", "transformers", "datasets", "optimum", "onnx", "scipy", "sklearn", "pydantic"}}
        sys.exit(", ".join(heavy & set(sys.modules)) or 0)
    """
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_peak_memory_is_the_workers_own_although_the_parent_is_big(subject: Subject, tmp_path: Path) -> None:
    ballast = np.ones(500_000_000 // 8)  # 500 MB, touched
    with WorkerProcess(subject, tmp_path) as process:
        process.load(threads=1)
        process.receive()
        peak = process.ask("memory")["peak_memory_mb"]
        resident = psutil.Process(process.pid).memory_info().rss / 1e6
    assert psutil.Process().memory_info().rss / 1e6 > ballast.nbytes / 1e6
    assert 20 < peak < 300
    assert peak > 0.8 * resident


def test_what_libraries_print_does_not_reach_the_channel() -> None:
    code = """if True:
        import os, sys
        from hfcompress.benchmark import worker
        requests, replies = worker.take_channel()
        print("a library says hello")
        os.system("echo a child too; cat")  # which finds nothing to read
        worker.serve(requests, replies)
    """
    request = json.dumps({"do": "memory"}) + "\n"
    done = subprocess.run([sys.executable, "-c", code], input=request, capture_output=True, text=True, check=True)
    assert list(json.loads(done.stdout)) == ["peak_memory_mb"]
    assert "a library says hello" in done.stderr
    assert "a child too" in done.stderr


def test_a_failure_is_one_message_and_the_worker_lives_on(
    worker: WorkerProcess, tmp_path: Path, make_batch: MakeBatch
) -> None:
    without_mask = {"input_ids": make_batch(2, 4)["input_ids"]}
    inputs = write_batch(without_mask, tmp_path / "cell.npz")
    with pytest.raises(MeasurementError, match=r"`int8` could not be measured: .*needs attention_mask"):
        worker.ask("time", inputs=str(inputs), warmup=1, calls=1)
    assert worker.ask("memory")["peak_memory_mb"] > 0


def test_an_artifact_that_cannot_be_loaded_is_named(subject: Subject, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with WorkerProcess(replace(subject, path=empty), tmp_path) as process:
        process.load(threads=1)
        with pytest.raises(MeasurementError, match=r"`int8` could not be measured: .*holds no ONNX graph"):
            process.receive()


def test_an_error_that_is_no_error_of_ours_keeps_its_type(worker: WorkerProcess, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match=r"`int8` could not be measured: FileNotFoundError: "):
        worker.ask("time", inputs=str(tmp_path / "absent.npz"), warmup=1, calls=1)


def test_a_worker_that_is_killed_is_told_with_its_signal(worker: WorkerProcess) -> None:
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(MeasurementError, match=r"`int8` .* killed by SIGKILL .*memory.* exit code -9"):
        ask_until_dead(worker)


def test_a_worker_that_crashes_is_told_with_its_last_words(worker: WorkerProcess) -> None:
    os.kill(worker.pid, signal.SIGSEGV)  # faulthandler says where
    with pytest.raises(MeasurementError, match=r"killed by SIGSEGV, exit code -11; its last words:[\s\S]*worker\.py"):
        ask_until_dead(worker)


def test_a_worker_is_reaped_when_its_block_is_interrupted(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), WorkerProcess(subject, tmp_path) as process:
        raise KeyboardInterrupt
    assert not psutil.pid_exists(process.pid)


def test_a_worker_outlives_ctrl_c_until_its_parent_decides(worker: WorkerProcess) -> None:
    os.kill(worker.pid, signal.SIGINT)
    assert worker.ask("memory")["peak_memory_mb"] > 0


def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = f"""if True:
        import time
        from pathlib import Path
        from hfcompress.benchmark.process import Subject, WorkerProcess
        process = WorkerProcess(Subject("a", Path("."), "onnx", "text-classification"), Path({str(tmp_path)!r}))
        process.ask("memory")
        print(process.pid, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(pid)


def test_a_worker_finds_the_package_from_another_folder(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with WorkerProcess(subject, tmp_path) as process:
        assert process.ask("memory")["peak_memory_mb"] > 0


def test_batches_survive_their_files(tmp_path: Path, make_batch: MakeBatch) -> None:
    batch = make_batch(3, 5) | {"pixel_values": np.ones((3, 2, 2), dtype=np.float32)}
    again = read_batch(write_batch(batch, tmp_path / "batch.npz"))
    assert list(again) == list(batch)
    for name, array in batch.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype


def test_a_batch_of_objects_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = write_batch({"text": np.array(["a", None], dtype=object)}, tmp_path / "batch.npz")
    with pytest.raises(ValueError, match="allow_pickle"):
        read_batch(path)


def test_streams_run_every_batch_once_and_give_the_seconds_of_each_call(
    subject: Subject, tmp_path: Path, make_batch: MakeBatch
) -> None:
    batches = write_batches([make_batch(4, 8), make_batch(4, 16), make_batch(3, 5)], tmp_path / "stream")
    with WorkerProcess(replace(subject, settings=Settings(streams=2)), tmp_path) as process:
        process.load(threads=2)
        assert process.receive()["threads"] == 1  # of two cores, for two calls side by side
        reply = process.ask("stream", batches=[str(path) for path in batches])
    assert reply["rows"] == 11
    assert len(reply["calls_s"]) == 3
    assert max(reply["calls_s"]) < reply["seconds"]  # from the first call to the end of the last


def test_one_stream_takes_the_sum_of_its_calls(worker: WorkerProcess, tmp_path: Path, make_batch: MakeBatch) -> None:
    batches = write_batches([make_batch(4, 8), make_batch(4, 16), make_batch(3, 5)], tmp_path / "stream")
    for hold in (False, True):
        reply = worker.ask("stream", batches=[str(path) for path in batches], hold=hold)
        assert reply["seconds"] == pytest.approx(sum(reply["calls_s"]))
        assert len(reply["calls_s"]) == 3
