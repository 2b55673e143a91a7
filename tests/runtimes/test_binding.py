"""IO binding: the same answers as without, and memory that no two calls share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from hfcompress.runtimes.binding import BoundCalls

onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.export


@pytest.fixture
def session() -> Any:
    """Squares numbers."""
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["rows", "columns"]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Mul", ["x", "x"], ["y"])], "g", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def numbers(seed: int) -> np.ndarray:
    """More sizes than a thread keeps memory for, each several times."""
    return np.random.default_rng(seed).standard_normal((1 + seed % 20, 3), dtype=np.float32)


def test_every_size_is_answered_as_without_it_and_no_answer_is_overwritten_by_a_later_call(session: Any) -> None:
    call = BoundCalls(session, ["y"], "cpu")
    found = [call({"x": numbers(seed)})[0] for seed in range(60)]
    for seed, answer in enumerate(found):
        np.testing.assert_array_equal(answer, session.run(["y"], {"x": numbers(seed)})[0])


def test_it_is_called_from_several_threads_at_once(session: Any) -> None:
    call = BoundCalls(session, ["y"], "cpu")
    batches = [np.full((4, 64), number, dtype=np.float32) for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda batch: call({"x": batch})[0], batches))
    for number, answer in enumerate(answers):
        assert np.unique(answer).tolist() == [number**2]


def test_inputs_that_lie_otherwise_in_memory_are_read_as_they_are(session: Any) -> None:
    x = numbers(5).T
    np.testing.assert_array_equal(BoundCalls(session, ["y"], "cpu")({"x": x})[0], x**2)
