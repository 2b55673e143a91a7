"""One artifact under several settings: each in a process of its own, and those that cannot be loaded say why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import psutil
import pytest

from hfcompress.benchmark import stream_session
from hfcompress.benchmark.process import Subject
from hfcompress.benchmark.stream_session import StreamSession, beyond_memory
from hfcompress.errors import MeasurementError
from hfcompress.runtimes.settings import Settings

GB = 1_000_000_000
ONE, TWO = Settings(threads=1), Settings(threads=1, streams=2)


@pytest.mark.export
def test_settings_that_cannot_be_loaded_are_named_and_the_others_measured(
    onnx_subject: Callable[..., Subject], make_batch: Callable[[int, int], dict[str, np.ndarray]]
) -> None:
    wrong = Settings("onnxruntime:NoSuchProvider", 1)
    with StreamSession(onnx_subject("int8"), cores=2) as session:
        session.add_stream("three", [make_batch(4, 8), make_batch(4, 16), make_batch(3, 5)])
        failed = session.start([ONE, wrong, TWO], "three")
        assert list(failed) == [wrong]
        assert "`int8` could not be measured: this ONNX Runtime has no NoSuchProvider" in failed[wrong]
        for settings in (ONE, TWO):
            done = session.measure(settings, "three")
            assert len(done.calls_s) == 3
            assert done.seconds > 0
        session.add_stream("three", [make_batch(2, 4)])  # takes the place of the first
        assert len(session.measure(ONE, "three").calls_s) == 1
        session.add_stream("bad", [{"input_ids": np.zeros((1, 2), dtype=np.int64)}])
        with pytest.raises(MeasurementError, match="could not be measured"):
            session.measure(ONE, "bad")


@pytest.mark.export
def test_ending_settings_ends_their_process_and_the_session_ends_the_rest(
    onnx_subject: Callable[..., Subject], make_batch: Callable[[int, int], dict[str, np.ndarray]]
) -> None:
    def children() -> set[int]:
        return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}

    before = children()
    with StreamSession(onnx_subject("int8"), cores=2) as session:
        session.add_stream("one", [make_batch(2, 4)])
        session.start([ONE, TWO], "one")
        assert len(children() - before) == 2
        session.end(ONE)
        session.end(ONE)  # nothing more to end
        assert len(children() - before) == 1
    assert children() <= before


@pytest.mark.export
def test_what_memory_does_not_hold_is_not_started_but_the_first_is(
    onnx_subject: Callable[..., Subject],
    make_batch: Callable[[int, int], dict[str, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_session, "available_bytes", lambda: 0)
    with StreamSession(onnx_subject("int8"), cores=2) as session:
        session.add_stream("one", [make_batch(2, 4)])
        assert list(session.start([TWO, ONE], "one")) == [ONE]
        assert session.measure(TWO, "one").seconds > 0


def test_memory_is_given_to_those_that_take_least() -> None:
    settings = [Settings("onnxruntime", 64, 1), *(Settings("onnxruntime", 2, 2**power) for power in range(6, -1, -1))]
    beyond = beyond_memory(settings, "onnx", 400_000_000, 10 * GB)  # 0.58, 0.58, 1.03, 1.93, 3.73 make 7.85
    assert [each.streams for each in beyond] == [16, 32, 64]
    assert beyond[Settings("onnxruntime", 2, 16)] == (
        "it takes about 7.3 GB (16 x 400 MB of the model), and 0.1 of 10.0 GB of free memory are left beside the others"
    )
    assert not beyond_memory(settings, "onnx", 400_000_000, 1000 * GB)


@pytest.mark.parametrize("runtime", ["openvino:CPU", "torch", "onnxruntime:CUDAExecutionProvider", "onnxruntime"])
def test_streams_that_share_one_copy_need_its_memory_once(runtime: str) -> None:
    threads = 1 if runtime == "onnxruntime" else 2
    settings = [Settings(runtime, threads, 1), Settings(runtime, threads, 8)]
    assert not beyond_memory(settings, "onnx", 4 * GB, 16 * GB)


def test_the_first_is_kept_whatever_it_takes() -> None:
    assert list(beyond_memory([TWO, ONE], "torch", 5 * GB, GB)) == [ONE]
    assert beyond_memory([TWO], "torch", 5 * GB, 0) == {}
    assert beyond_memory([], "torch", 5 * GB, 0) == {}
