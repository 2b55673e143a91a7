"""Conversion of ONNX: the same bytes each time, weights as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hfcompress.errors import StageError
from hfcompress.openvino_ir.convert import convert_onnx
from hfcompress.openvino_ir.layers import parameter_count
from tests import int8_graphs

pytestmark = [pytest.mark.export, pytest.mark.openvino]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return int8_graphs.export_bert(tmp_path_factory.mktemp("convert"))


def test_equal_graphs_give_equal_bytes(bert: Path, tmp_path: Path) -> None:
    made = [convert_onnx(bert / "model.onnx", folder) for folder in (tmp_path / "a", tmp_path / "b")]
    for suffix in (".xml", ".bin"):
        first, second = (path.with_suffix(suffix).read_bytes() for path in made)
        assert first == second


def test_every_parameter_is_there_in_float32(bert: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    made = convert_onnx(bert / "model.onnx", tmp_path)
    weights = load_file(bert.parent / "torch" / "model.safetensors")
    # Of a model that was never trained all biases are 0, and the exporter keeps one of each size.
    different = {(tensor.shape, tensor.tobytes()): tensor.size for tensor in weights.values()}
    assert parameter_count(made) == sum(different.values())
    constants = made.with_suffix(".bin").read_bytes()
    assert weights["bert.embeddings.word_embeddings.weight"].astype(np.float32).tobytes() in constants


def test_a_graph_that_openvino_cannot_read_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    values = [helper.make_tensor_value_info(name, floats, [1]) for name in ("x", "y")]
    node = helper.make_node("NoSuchOperator", ["x"], ["y"], domain="somewhere")
    model = helper.make_model(helper.make_graph([node], "made", values[:1], values[1:]), ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(StageError, match=r"OpenVINO cannot convert model\.onnx: .*NoSuchOperator"):
        convert_onnx(tmp_path / "model.onnx", tmp_path / "out")
