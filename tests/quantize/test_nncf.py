"""The peer: NNCF's accuracy control on the same network and rows.

It ranks by returning one layer at a time, and this search by quantizing one at a time; and it quantizes statically.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.file import model_file
from tests.quantize.outliers import layer
from tests.quantize.test_fallback import Network

# NNCF and what it imports warn of their own future.
pytestmark = [pytest.mark.slow, pytest.mark.export, pytest.mark.filterwarnings("ignore")]
MAX_DROP = 0.1


def returned_by_nncf(network: Network) -> tuple[set[str], float]:
    """The layers that NNCF leaves in floating point, and what the result loses by NNCF's own validation."""
    nncf = pytest.importorskip("nncf", reason="the peer of this test: pip install nncf")
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    rows = [
        {name: values[place : place + 1] for name, values in batch.items()}
        for batch in network.judge.batches(network.source)
        for place in range(len(batch["row_id"]))
    ]

    def accuracy(model: Any, some: Any) -> float:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers = [(session.run(None, {"pixel_values": row["pixel_values"]})[0], row["labels"]) for row in some]
        return float(np.mean([logits.argmax(axis=-1) == label for logits, label in answers]))

    float_model = onnx.load(model_file(network.source.path))
    made = nncf.quantize_with_accuracy_control(
        float_model,
        nncf.Dataset(rows, lambda row: {"pixel_values": row["pixel_values"]}),
        nncf.Dataset(rows),
        accuracy,
        max_drop=MAX_DROP,
        drop_type=nncf.DropType.ABSOLUTE,
        subset_size=len(rows),
    )
    weights = {tensor.name for tensor in made.graph.initializer}
    floats = {node.name for node in made.graph.node if node.op_type == "MatMul" and node.input[1] in weights}
    return floats, accuracy(float_model, rows) - accuracy(made, rows)


@pytest.mark.parametrize("ruinous", [{2}, {1, 3}])
def test_both_return_the_ruinous_layers_and_this_search_no_more_than_nncf(tmp_path: Path, ruinous: set[int]) -> None:
    network = Network(tmp_path, ruinous, "static")
    theirs, their_drop = returned_by_nncf(network)
    found = network.fall_back(max_drop=MAX_DROP)
    our_drop = -found.steps[-1].difference["accuracy"].value
    beside = f"NNCF returned {sorted(theirs)}, drop {their_drop:.3f}; this search {found.returned}, drop {our_drop:.3f}"
    print(f"\nruinous {sorted(ruinous)}: {beside}")  # noqa: T201 -- a report beside the peer's is what the test is for
    assert set(found.returned) == {layer(number) for number in ruinous}
    assert set(found.returned) <= theirs
    assert max(our_drop, their_drop) <= MAX_DROP
