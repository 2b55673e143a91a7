"""What an IR's XML says of its parameters, against PyTorch's own count and graphs made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfcompress.errors import ModelError
from hfcompress.openvino_ir.file import ir_file
from hfcompress.openvino_ir.layers import is_quantized, parameter_count, read_layers
from tests.openvino_ir import graphs


def quantized(folder: Path) -> Path:
    """A product of 4 x 2: FakeQuantize before it, weights in int8 with scales and zero points of their channels."""
    layers = [
        graphs.layer(0, "x", "Parameter"),
        *(graphs.constant(1 + end, f"end{end}", "1", 0, 4) for end in range(4)),
        graphs.layer(5, "x/fq", "FakeQuantize"),
        graphs.constant(6, "weight", "2,4", 8, 8, "i8"),
        graphs.layer(7, "weight/convert", "Convert"),
        graphs.constant(8, "weight/zero_point", "2,1", 16, 2, "i8"),
        graphs.layer(9, "weight/zero_point/convert", "Convert"),
        graphs.layer(10, "weight/subtract", "Subtract"),
        graphs.constant(11, "weight/scale", "2,1", 20, 8),
        graphs.layer(12, "weight/multiply", "Multiply"),
        graphs.layer(13, "/classifier/MatMul", "MatMul"),
        graphs.constant(14, "bias", "1,2", 32, 8),
        graphs.layer(15, "/classifier/Add", "Add"),
        graphs.constant(16, "axes", "2", 40, 16, "i64"),
    ]
    pairs = [(0, 5, 0), *((1 + end, 5, 1 + end) for end in range(4)), (6, 7, 0), (7, 10, 0), (8, 9, 0), (9, 10, 1)]
    pairs += [(10, 12, 0), (11, 12, 1), (5, 13, 0), (12, 13, 1), (13, 15, 0), (14, 15, 1)]
    return graphs.write(folder, layers, [graphs.edge(*pair) for pair in pairs])


def test_scales_zero_points_ranges_and_axes_are_no_parameters(tmp_path: Path) -> None:
    path = ir_file(quantized(tmp_path).parent)
    assert parameter_count(path) == 2 * 4 + 2
    assert is_quantized(path)


@pytest.mark.parametrize("kinds", [["Convert"], ["Subtract"], ["Convert", "Subtract"]])
def test_a_layer_that_reads_nothing_is_no_weight_of_a_scale(kinds: list[str], tmp_path: Path) -> None:
    layers = [graphs.layer(number, kind, kind) for number, kind in enumerate(kinds)]
    layers += [graphs.layer(8, "product", "Multiply"), graphs.constant(9, "weight", "2", 0, 8)]
    pairs = [*((number, number + 1, 0) for number in range(len(kinds) - 1)), (len(kinds) - 1, 8, 0), (9, 8, 1)]
    assert parameter_count(ir_file(graphs.write(tmp_path, layers, [graphs.edge(*pair) for pair in pairs]))) == 2


def test_a_layer_knows_what_it_reads(tmp_path: Path) -> None:
    found = {layer.name: layer for layer in read_layers(quantized(tmp_path))}
    assert found["/classifier/MatMul"].inputs[1].name == "weight/multiply"
    assert [reader.name for reader, _ in found["x/fq"].readers] == ["/classifier/MatMul"]


def test_a_folder_without_one_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no graph of OpenVINO \(nothing\)"):
        ir_file(tmp_path)
    for name in ("a.xml", "b.xml"):
        (tmp_path / name).write_text("<net/>")
    with pytest.raises(ModelError, match=r"2 graphs of OpenVINO \(a\.xml, b\.xml\)"):
        ir_file(tmp_path)
    with pytest.raises(ModelError, match="does not exist"):
        ir_file(tmp_path / "absent")


def test_tokenizers_may_lie_beside_the_model(tmp_path: Path) -> None:
    path = graphs.write(tmp_path, [])
    (tmp_path / "openvino_tokenizer.xml").write_text("<net/>")
    assert ir_file(tmp_path) == path
