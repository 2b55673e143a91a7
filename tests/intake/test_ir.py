"""OpenVINO's format from outside: refused where it is more than a graph, and before OpenVINO sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfcompress.errors import UnsafeError
from hfcompress.intake import ir
from hfcompress.intake.ir import check_ir
from tests.openvino_ir import graphs

WEIGHT = graphs.constant(0, "weight", "4,4", 0, 64)
LAUGHS = '<!DOCTYPE net [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE net [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def test_a_graph_whose_constants_are_there_passes(tmp_path: Path) -> None:
    check_ir(graphs.write(tmp_path, [WEIGHT, graphs.constant(1, "number", "", 4, 4), graphs.layer(2, "y", "Result")]))


@pytest.mark.parametrize("head", [LAUGHS, OUTSIDE, "<!DOCTYPE net>"])
def test_a_document_type_is_refused(head: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeError, match="holds a document type"):
        check_ir(graphs.write(tmp_path, [WEIGHT], head=head))


@pytest.mark.parametrize("version", ["extension", "custom_opset", "", "opset1 "])
def test_an_operator_of_an_extension_is_refused_by_name(version: str, tmp_path: Path) -> None:
    made = graphs.write(tmp_path, [graphs.layer(0, "split", "RegexSplit", version)])
    with pytest.raises(UnsafeError, match=r"the layer `split` is a RegexSplit of '.*', an extension's operator"):
        check_ir(made)


@pytest.mark.parametrize(
    "layer, message",
    [
        (graphs.constant(0, "weight", "4,4", 4, 64), r"`weight` ends at byte 68 of weights that have 64"),
        (graphs.constant(0, "weight", "4,4", 2**63, 64), r"`weight` ends at byte 9223372036854775872 of weights"),
        (graphs.constant(0, "weight", "4,4", 0, 32), r"`weight` has 32 bytes, and \[4,4\] of f32 takes others"),
        (graphs.constant(0, "weight", "99999999,99999999", 0, 64), "has 64 bytes, and .* takes others"),
        (graphs.constant(0, "weight", "4,-4", 0, 64), r"the shape \[4,-4\], which is no list of sizes"),
        (graphs.constant(0, "weight", "a", 0, 64), r"`weight` has the shape \[a\], which is no list of sizes"),
        (graphs.constant(0, "words", "a", 0, 64, "string"), r"`words` has the shape \[a\], which is no list of sizes"),
        (graphs.constant(0, "weight", ",".join(["1"] * 99), 0, 4), "which is no list of sizes"),
        (graphs.constant(0, "weight", "4,4", -4, 64), "no whole numbers as offset and size"),
    ],
)
def test_constants_beyond_their_file_are_refused(layer: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeError, match=message):
        check_ir(graphs.write(tmp_path, [layer]))


@pytest.mark.parametrize(
    "edge, message",
    [
        (graphs.edge(0, 7, 0), "an edge names the layer '7', which is not there"),
        (graphs.edge(7, 1, 0), "an edge names the layer '7', which is not there"),
        ('<edge from-layer="0" to-port="0"/>', "an edge names the layer '', which is not there"),
        (graphs.edge(0, 1, -1), "the edge from the layer '0' to '1' has no whole number as `to-port`"),
        ('<edge from-layer="0" to-layer="1"/>', "the edge from the layer '0' to '1' has no whole number"),
    ],
)
def test_edges_from_or_to_nowhere_are_refused(edge: str, message: str, tmp_path: Path) -> None:
    made = graphs.write(tmp_path, [WEIGHT, graphs.layer(1, "y", "Result")], [graphs.edge(0, 1, 0), edge])
    with pytest.raises(UnsafeError, match=rf"openvino_model\.xml: {message}"):
        check_ir(made)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    made = graphs.write(tmp_path, [WEIGHT])
    (tmp_path / "openvino_model.bin").unlink()
    with pytest.raises(UnsafeError, match=r"openvino_model\.bin is missing"):
        check_ir(made)


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    made = graphs.write(tmp_path / "model", [WEIGHT])
    weights = (tmp_path / "model" / "openvino_model.bin").rename(tmp_path / "elsewhere.bin")
    (tmp_path / "model" / "openvino_model.bin").symlink_to(weights)
    with pytest.raises(UnsafeError, match="leads out of the model's folder"):
        check_ir(made)


@pytest.mark.parametrize(
    "text, message",
    [
        ("<net><layers></net>", "its XML is broken"),
        ("", "its XML is broken"),
        ("<html/>", "begins with <html>, so it is no IR"),
        ("<net>" + "<body>" * 600 + "</body>" * 600 + "</net>", "nests without end"),
    ],
)
def test_what_is_no_ir_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "openvino_model.xml").write_text(text)
    with pytest.raises(UnsafeError, match=message):
        check_ir(tmp_path / "openvino_model.xml")


def test_a_file_too_large_for_a_graph_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ir, "LARGEST_XML", 10)
    with pytest.raises(UnsafeError, match="is larger than 1e-05 MB, so it is no graph"):
        check_ir(graphs.write(tmp_path, [WEIGHT]))
