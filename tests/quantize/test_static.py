"""Static INT8: what became integer, in which form, how close the answers stay, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from hfcompress.errors import InputError, StageError
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.operators import INTEGER_OPERATORS, integer_operator_count, parameter_count
from hfcompress.onnx_graph.optimized import optimized_graph
from hfcompress.quantize.static import Calibrated, calibrate, quantize_static
from hfcompress.quantize.targets import SCHEMES, Scheme
from hfcompress.recipe.quantization import Calibration, CalibrationMethod
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.tasks import get_task
from tests import tiny
from tests.quantize.conftest import LAYERS

pytestmark = pytest.mark.export
VNNI = SCHEMES["avx512_vnni"]
METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)


def texts(rows: int = 48, seed: int = 5) -> list[dict[str, np.ndarray]]:
    task, tokenizer = get_task("text-classification"), tiny.make_tokenizer()
    found = [row["text"] for row in tiny.make_reviews(rows, seed=seed)]
    return [task.preprocess(found[start : start + 8], tokenizer, 64) for start in range(0, rows, 8)]


def images(rows: int = 64, seed: int = 0) -> list[dict[str, np.ndarray]]:
    values = np.random.default_rng(seed).normal(size=(rows, 3, 32, 32)).astype(np.float32)
    return [{"pixel_values": batch} for batch in np.split(values, 8)]


@pytest.fixture(scope="module")
def calibrated(fp32: Path) -> Calibrated:
    return calibrate(fp32, VNNI, Calibration(), texts())


def graph_of(path: Path) -> Any:
    import onnx

    return onnx.load(path).graph


def initializers(path: Path) -> dict[str, np.ndarray]:
    import onnx

    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph_of(path).initializer}


def logits(path: Path, batches: list[dict[str, np.ndarray]]) -> np.ndarray:
    runtime = OnnxRuntime(path, threads=1)
    return np.concatenate([runtime.predict(batch)["logits"] for batch in batches])


@pytest.mark.parametrize("per_channel", [True, False])
def test_every_product_with_a_weight_is_integer_once_onnx_runtime_has_fused_it(
    calibrated: Calibrated, tmp_path: Path, per_channel: bool
) -> None:
    path = quantize_static(calibrated, tmp_path, VNNI, per_channel=per_channel)
    counts = Counter(node.op_type for node in optimized_graph(path).node)
    assert integer_operator_count(path) == sum(counts[name] for name in INTEGER_OPERATORS) == 6 * LAYERS + 2
    assert counts["MatMul"] == 2 * LAYERS, "the attention products, of two activations"
    assert counts["Gemm"] == counts["FusedGemm"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_answers_stay_close_to_fp32(fp32: Path, tmp_path: Path, method: CalibrationMethod) -> None:
    calibrated = calibrate(fp32, VNNI, Calibration(method=method), texts())
    path = quantize_static(calibrated, tmp_path, VNNI, per_channel=True)
    before, after = (logits(each, texts(seed=6)) for each in (fp32, path))
    assert np.abs(after - before).mean() < 0.05 * before.std()


def test_nothing_but_what_an_integer_operator_reads_is_rounded(calibrated: Calibrated, tmp_path: Path) -> None:
    graph = graph_of(quantize_static(calibrated, tmp_path, VNNI, per_channel=True))
    rounded = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    readers = [node for node in graph.node if rounded & set(node.input)]
    assert {node.op_type for node in readers} == {"MatMul", "Gemm", "Gather", "Add"}
    others = [node.name for node in readers if node.op_type == "Add"]
    assert others == ["/bert/embeddings/Add", "/bert/embeddings/Add_1"], "rows of tables, which are 8-bit already"
    assert {output.name for output in graph.output} == {"logits"}


def test_tables_are_8_bit_and_the_file_about_a_quarter(fp32: Path, calibrated: Calibrated, tmp_path: Path) -> None:
    path = quantize_static(calibrated, tmp_path, VNNI, per_channel=True)
    assert path.stat().st_size < 0.3 * model_file(fp32).stat().st_size


def test_the_number_of_parameters_does_not_change(
    fp32: Path, calibrated: Calibrated, resnet: Path, tmp_path: Path
) -> None:
    for source, ready in ((fp32, calibrated), (resnet, calibrate(resnet, VNNI, Calibration(), images()))):
        for per_channel in (True, False):
            out = tmp_path / f"{source.name}-{per_channel}"
            out.mkdir()
            path = quantize_static(ready, out, VNNI, per_channel=per_channel)
            assert parameter_count(path) == parameter_count(model_file(source))


@pytest.mark.parametrize("target", SCHEMES)
def test_the_graph_is_what_the_target_wants(fp32: Path, tmp_path: Path, target: Any) -> None:
    scheme: Scheme = SCHEMES[target]
    path = quantize_static(calibrate(fp32, scheme, Calibration(), texts()), tmp_path, scheme, per_channel=True)
    graph, tensors = graph_of(path), initializers(path)
    activations, weights, biases = [], [], []
    makers = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        if node.op_type in scheme.products and makers.get(node.input[1], node).op_type == "DequantizeLinear":
            activations.append(tensors[makers[node.input[0]].input[2]])
            weights.append(makers[node.input[1]])
            biases += [makers.get(name) for name in node.input[2:]]
    assert len(weights) == 6 * LAYERS + 2
    for zero_point in activations:
        assert zero_point.dtype == (np.int8 if scheme.signed_activations else np.uint8)
        assert zero_point.shape == (), "one scale a tensor"
        assert zero_point == 0 or not scheme.symmetric_activations
    for node in weights:
        assert tensors[node.input[2]].dtype == np.int8
        assert (tensors[node.input[2]] == 0).all()
        assert tensors[node.input[1]].size > 1, "one scale a channel"
        if not scheme.whole_pairs:
            limit = 64 if scheme.reduce_range else 127
            assert limit - 1 <= np.abs(tensors[node.input[0]].astype(int)).max() <= limit
    assert all((bias is not None) == scheme.integer_biases for bias in biases)
    before, after = (logits(each, texts(seed=6)) for each in (fp32, path))
    assert np.abs(after - before).mean() < 0.08 * before.std()


@pytest.mark.parametrize("method", METHODS)
def test_of_a_resnet_everything_between_the_image_and_the_head_is_integer(
    resnet: Path, tmp_path: Path, method: CalibrationMethod
) -> None:
    path = quantize_static(
        calibrate(resnet, VNNI, Calibration(method=method), images()), tmp_path, VNNI, per_channel=True
    )
    counts = Counter(node.op_type for node in optimized_graph(path).node)
    before = Counter(node.op_type for node in graph_of(model_file(resnet)).node)
    assert counts["QLinearConv"] == before["Conv"]
    assert counts["QLinearAdd"] == before["Add"]
    assert counts["QGemm"] == before["Gemm"] == 1
    assert counts["DequantizeLinear"] == 0
    assert counts["QuantizeLinear"] == 1, "the image"
    fp32, int8 = (logits(each, images(seed=1)) for each in (resnet, path))
    assert np.abs(int8 - fp32).mean() < 0.1 * fp32.std()


def test_convolutions_that_are_skipped_and_what_follows_them_stay_in_float(resnet: Path, tmp_path: Path) -> None:
    first = next(node.name for node in graph_of(model_file(resnet)).node if node.op_type == "Conv")
    made = quantize_static(
        calibrate(resnet, VNNI, Calibration(), images()), tmp_path, VNNI, per_channel=True, excluded=[first]
    )
    graph = graph_of(made)
    node = next(node for node in graph.node if node.name == first)
    assert node.input[0] == "pixel_values"
    assert Counter(each.op_type for each in optimized_graph(made).node)["Conv"] == 1
    fp32, int8 = (logits(each, images(seed=1)) for each in (resnet, made))
    assert np.abs(int8 - fp32).mean() < 0.1 * fp32.std()


def test_one_calibration_serves_any_set_of_excluded_nodes(calibrated: Calibrated, tmp_path: Path) -> None:
    nodes = [node.name for node in calibrated.model.graph.node if node.op_type == "MatMul" and "query" in node.name]
    for excluded in ([], nodes[:1], nodes):
        (tmp_path / str(len(excluded))).mkdir()
        path = quantize_static(calibrated, tmp_path / str(len(excluded)), VNNI, per_channel=True, excluded=excluded)
        assert integer_operator_count(path) == 6 * LAYERS + 2 - len(excluded)


def test_the_ranges_are_those_of_the_tensors_without_padding(fp32: Path, calibrated: Calibrated) -> None:
    import onnx

    name = next(name for name in calibrated.ranges if "layer.1" in name and "LayerNorm" in name)
    model = onnx.load(model_file(fp32))
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = [each.name for each in session.get_inputs()]
    values = [
        session.run([name], {key: batch[key] for key in inputs})[0][batch["attention_mask"].astype(bool)]
        for batch in texts()
    ]
    joined = np.concatenate(values)
    assert joined.ndim == 2
    assert calibrated.ranges[name] == pytest.approx((joined.min(), joined.max()), rel=1e-5)


def test_padding_changes_no_range(fp32: Path) -> None:
    def padded() -> Iterator[dict[str, np.ndarray]]:
        for batch in texts():
            yield {name: np.pad(values, ((0, 0), (0, 7))) for name, values in batch.items() if values.ndim == 2}

    plain = calibrate(fp32, VNNI, Calibration(), texts()).ranges
    for name, (low, high) in calibrate(fp32, VNNI, Calibration(), padded()).ranges.items():
        assert (low, high) == pytest.approx(plain[name], rel=1e-4, abs=1e-5)


def test_no_rows_are_refused(fp32: Path) -> None:
    with pytest.raises(InputError, match="no rows to calibrate on"):
        calibrate(fp32, VNNI, Calibration(), [])


def test_images_that_are_not_finite_are_refused_by_the_tensors_name(resnet: Path) -> None:
    bad = images(8)
    bad[0]["pixel_values"][0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"calibration: 1 of \d+ values are NaN or infinite in pixel_values"):
        calibrate(resnet, VNNI, Calibration(), bad)


@pytest.mark.parametrize("method", METHODS)
def test_constant_rows_give_a_graph_that_runs(resnet: Path, tmp_path: Path, method: CalibrationMethod) -> None:
    constant = [{"pixel_values": np.zeros((4, 3, 32, 32), dtype=np.float32)}]
    path = quantize_static(
        calibrate(resnet, VNNI, Calibration(method=method), constant), tmp_path, VNNI, per_channel=True
    )
    assert np.isfinite(logits(path, constant)).all()


def test_per_channel_needs_operator_set_13(calibrated: Calibrated, tmp_path: Path) -> None:
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(calibrated.model)
    next(each for each in model.opset_import if each.domain == "").version = 12
    old = Calibrated(calibrated.folder, model, calibrated.ranges)
    with pytest.raises(InputError, match=r"has operator set 12, and Q/DQ with a scale for each channel needs 13"):
        quantize_static(old, tmp_path, VNNI, per_channel=True)


def test_where_every_layer_is_skipped_nothing_is_gained(calibrated: Calibrated, tmp_path: Path) -> None:
    names = [node.name for node in calibrated.model.graph.node]
    with pytest.raises(StageError, match="found no Conv or Gemm or MatMul with constant weights, but for those that"):
        quantize_static(calibrated, tmp_path, VNNI, per_channel=True, excluded=names)
