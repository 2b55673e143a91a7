"""External data of ONNX graphs, against the onnx package: its message types, and files that it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.errors import UnsafeError
from hfcompress.intake.graph import BITS, MESSAGES, check_graph, external_tensors
from hfcompress.intake.wire import MalformedError, fields, varints

onnx = pytest.importorskip("onnx")


def save(path: Path, **options: Any) -> Any:
    """A graph with a large weight, a small one, and a third one in the branches of an If."""
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    numbers = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    value = helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [64, 64])
    constant = helper.make_node("Constant", [], ["out"], value=from_array(numbers + 1, "in_branch"))
    branch = helper.make_graph([constant], "branch", [], [value])
    node = helper.make_node("If", ["flag"], ["out"], then_branch=branch, else_branch=branch)
    flag = helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, [])
    weights = [from_array(numbers, "large"), from_array(np.zeros(2, np.int64), "small")]
    model = helper.make_model(helper.make_graph([node], "whole", [flag], [value], weights))
    onnx.save_model(model, path, save_as_external_data=True, size_threshold=1024, convert_attribute=True, **options)
    return onnx.load(path, load_external_data=False)


def test_the_messages_are_those_of_onnx() -> None:
    known = {*MESSAGES, "TensorProto"}
    for name, inner in MESSAGES.items():
        descriptor = getattr(onnx, name).DESCRIPTOR
        theirs = {field.number: field.message_type.name for field in descriptor.fields if field.message_type}
        assert inner == {number: name for number, name in theirs.items() if name in known}


TYPES = set(onnx.TensorProto.DataType.keys()) - {"UNDEFINED", "STRING"}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_the_widths_of_types_are_those_of_onnx(name: str) -> None:
    number = onnx.TensorProto.DataType.Value(name)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(number)
    packed = {"FLOAT6E2M3": 6, "FLOAT6E3M2": 6, "UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}
    assert BITS[number] == packed.get(name, dtype.itemsize * 8)


@pytest.mark.parametrize("together", [True, False])
def test_what_onnx_writes_passes_and_every_tensor_outside_is_found(tmp_path: Path, together: bool) -> None:
    save(tmp_path / "model.onnx", all_tensors_to_one_file=together, location="model.onnx_data" if together else None)
    check_graph(tmp_path / "model.onnx")
    found = external_tensors(tmp_path / "model.onnx")
    assert sorted(tensor.name for tensor in found) == ["in_branch", "in_branch", "large"]
    assert {tensor.dims for tensor in found} == {(64, 64)}


def test_a_graph_without_external_data_has_none(tmp_path: Path) -> None:
    model = save(tmp_path / "model.onnx", location="data")
    onnx.load_external_data_for_model(model, str(tmp_path))
    onnx.save_model(model, tmp_path / "whole.onnx")
    assert external_tensors(tmp_path / "whole.onnx") == []


def test_a_cut_file_of_external_data_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "model.onnx", location="data")
    data = (tmp_path / "data").read_bytes()
    (tmp_path / "data").write_bytes(data[:-1])
    with pytest.raises(UnsafeError, match=rf"ends at byte {len(data)} of 'data', which has {len(data) - 1}"):
        check_graph(tmp_path / "model.onnx")


def test_every_cut_of_a_graph_is_read_as_protobuf_reads_it(tmp_path: Path) -> None:
    """Where the C++ parser refuses a cut file, so does ours; where a cut falls between fields, both go on."""
    whole = save(tmp_path / "model.onnx", location="data").SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        try:
            onnx.ModelProto.FromString(whole[:length])
            parsed = True
        except Exception:  # noqa: BLE001 - protobuf's own class differs between its implementations
            parsed = False
        if parsed:
            external_tensors(path)
        else:
            with pytest.raises(MalformedError):
                list(map(str, external_tensors(path)))


def test_packed_and_single_integers_are_the_same() -> None:
    single, packed = bytes([8, 0x80, 1, 8, 3]), bytes([10, 3, 0x80, 1, 3])
    for message in (single, packed):
        assert [number for _, value in fields(memoryview(message)) for number in varints(value)] == [128, 3]


def test_an_integer_longer_than_64_bits_is_malformed() -> None:
    with pytest.raises(MalformedError, match="does not end"):
        list(fields(memoryview(b"\x08" + b"\xff" * 12)))
