"""Each quantized layer beside its float one: which layers those are, and the error of each on float inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.side_by_side import quantized_layers, write_side_by_side
from hfcompress.quantize.dynamic import quantize_dynamic
from hfcompress.quantize.targets import SCHEMES
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from tests.quantize.outliers import SIDE, layer, quantize_statically, save_network

pytestmark = pytest.mark.export
PIXELS = {"pixel_values": np.random.default_rng(3).uniform(-1, 1, size=(9, 3, SIDE, SIDE)).astype(np.float32)}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("network") / "float", ruinous={2})


def quantized(network: Path, out: Path, kind: str, excluded: tuple[str, ...] = ()) -> Path:
    out.mkdir()
    if kind == "static":
        quantize_statically(network, out, excluded)
    else:
        quantize_dynamic(network, out, SCHEMES["avx2"], per_channel=False, excluded=excluded)
    return model_file(out)


def weights(path: Path) -> dict[str, np.ndarray]:
    import onnx

    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_layers_are_those_whose_weights_are_integers(network: Path, tmp_path: Path, kind: str) -> None:
    source = model_file(network)
    everything = quantized(network, tmp_path / "all", kind)
    assert quantized_layers(source, everything) == [layer(number) for number in range(4)]
    some = quantized(network, tmp_path / "some", kind, (layer(0), layer(2)))
    assert quantized_layers(source, some) == [layer(1), layer(3)]
    assert quantized_layers(source, source) == []


def dynamic(inputs: np.ndarray, integers: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """A product as ONNX's DynamicQuantizeLinear and MatMulInteger define it, in float64."""
    low, high = min(0.0, inputs.min()), max(0.0, inputs.max())
    step = (high - low) / 255
    zero = np.clip(np.rint(-low / step), 0, 255)
    rounded = np.clip(np.rint(inputs / step) + zero, 0, 255) - zero
    product: np.ndarray = (rounded @ integers.astype(np.float64)) * step * scale
    return product


def test_errors_are_those_of_a_loop_over_layers_in_numpy(network: Path, tmp_path: Path) -> None:
    int8 = quantized(network, tmp_path / "int8", "dynamic")
    ours, theirs = weights(model_file(network)), weights(int8)
    graph = tmp_path / "graph" / "both.onnx"
    graph.parent.mkdir()
    write_side_by_side(model_file(network), int8, graph)
    found = OnnxRuntime(graph, threads=1).predict(PIXELS)
    hidden = PIXELS["pixel_values"].reshape(9, -1).astype(np.float64)
    for number in range(4):
        exact = hidden @ ours[f"w{number}"].astype(np.float64)
        rounded = dynamic(hidden, theirs[f"w{number}_quantized"], theirs[f"w{number}_scale"])
        error, power = np.square(rounded - exact).sum(), np.square(exact).sum()
        # An activation at the middle between two integers may go either way in float32.
        assert float(found[f"error/{layer(number)}"]) == pytest.approx(error, rel=0.05)
        assert float(found[f"power/{layer(number)}"]) == pytest.approx(power, rel=1e-4)
        hidden = np.maximum(exact, 0)  # the next layer reads what the float network gives it


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_a_ruinous_layer_does_not_taint_those_after_it(network: Path, tmp_path: Path, kind: str) -> None:
    graph = tmp_path / "graph" / "both.onnx"
    graph.parent.mkdir()
    layers = write_side_by_side(model_file(network), quantized(network, tmp_path / "int8", kind), graph)
    found: dict[str, Any] = OnnxRuntime(graph, threads=1).predict(PIXELS)
    errors = [float(found[f"error/{name}"] / found[f"power/{name}"]) for name in layers]
    assert errors[2] > 0.9
    assert max(errors[0], errors[1], errors[3]) < 0.01


def test_every_layer_of_a_transformer_is_found_with_embeddings_and_heads(classifier: Path, tmp_path: Path) -> None:
    from hfcompress.export.optimum import export_with_optimum

    export_with_optimum(classifier, tmp_path / "fp32", "text-classification", None)
    found = quantized_layers(model_file(tmp_path / "fp32"), quantized(tmp_path / "fp32", tmp_path / "int8", "dynamic"))
    assert len(found) == 3 + 6 * 4 + 2, "three embeddings, six products a layer, the pooler and the classifier"
    assert "/bert/encoder/layer.3/attention/self/query/MatMul" in found
