"""`explain` on a real export and its INT8: against ONNX Runtime's own graph and clock; and what it refuses."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from hfcompress import explain
from hfcompress.errors import InputError
from hfcompress.onnx_graph.file import model_file
from hfcompress.profiling.explanation import Explanation
from hfcompress.profiling.workload import Workload
from hfcompress.recipe.data import DataConfig
from tests.profiling.conftest import Pair

pytestmark = pytest.mark.export
SMALL = Workload(batch=4, sequence=16, passes=6, threads=1)


@pytest.fixture(scope="module")
def explained(bert: Pair) -> Explanation:
    return explain(bert.int8, bert.fp32, workload=SMALL)


def optimized_operators(folder: Path, place: Path) -> Counter[str]:
    """The operators of the graph that a session of ONNX Runtime writes, without hfcompress."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(place)
    options.log_severity_level = 3
    slow = ["SkipLayerNormFusion"]  # which `OnnxRuntime` leaves out
    onnxruntime.InferenceSession(
        model_file(folder), options, providers=["CPUExecutionProvider"], disabled_optimizers=slow
    )
    return Counter(node.op_type for node in onnx.load(place).graph.node)


def test_operators_are_those_of_the_optimized_graphs(explained: Explanation, bert: Pair, tmp_path: Path) -> None:
    int8 = {each.operator: each.int8_nodes for each in explained.operators if each.int8_nodes}
    fp32 = {each.operator: each.fp32_nodes for each in explained.operators if each.fp32_nodes}
    assert int8 == optimized_operators(bert.int8, tmp_path / "int8.onnx")
    assert fp32 == optimized_operators(bert.fp32, tmp_path / "fp32.onnx")


def test_the_dearest_operators_and_layers_come_first(explained: Explanation) -> None:
    for parts in (explained.operators, explained.layers):
        assert [part.int8_ms for part in parts] == sorted((part.int8_ms for part in parts), reverse=True)


def test_every_linear_layer_is_integer_and_only_attention_products_are_not(explained: Explanation) -> None:
    integer = {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
    by_name = {each.layer: each for each in explained.layers}
    for layer in range(2):
        for part in ("attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense"):
            assert set(by_name[f"bert.encoder.layer.{layer}.{part}"].int8_products) <= integer
            assert by_name[f"bert.encoder.layer.{layer}.{part}"].fp32_products == ("MatMul",)
    quantizing = by_name["bert.encoder.layer.0.attention.self.query"].quantizing_ms
    assert 0 < quantizing < by_name["bert.encoder.layer.0.attention.self.query"].int8_ms
    (stayed,) = (finding for finding in explained.findings if finding.nodes)
    assert stayed.reason == "activation_product"
    assert sorted(stayed.nodes) == [
        f"/bert/encoder/layer.{layer}/attention/self/{name}" for layer in range(2) for name in ("MatMul", "MatMul_1")
    ]


def test_it_says_on_what_and_is_whole_as_json(explained: Explanation) -> None:
    assert (explained.model, explained.against) == ("int8", "fp32")
    assert (explained.shapes, explained.passes, explained.threads) == (((4, 16),), 6, 1)
    assert explained.speedup_low <= explained.speedup <= explained.speedup_high
    assert explained.slower == (explained.speedup < 1)
    assert Explanation.model_validate_json(explained.model_dump_json(by_alias=True)) == explained


def test_a_users_rows_are_what_is_run(bert: Pair, reviews: Path) -> None:
    data = DataConfig(path=str(reviews), splits={"test": "validation"})
    found = explain(bert.int8, bert.fp32, data=data, workload=Workload(batch=8, rows=20, passes=1, threads=1))
    assert [rows for rows, _ in found.shapes] == [8, 8, 4]
    lengths = [tokens for _, tokens in found.shapes]
    assert lengths == sorted(lengths, reverse=True)


def test_images_have_no_tokens(bert: Pair, tmp_path: Path) -> None:
    import onnx
    from onnxruntime.quantization import quantize_dynamic
    from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

    from hfcompress.export.optimum import export_with_optimum

    sizes = {"embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"}
    ResNetForImageClassification(ResNetConfig(**sizes, num_labels=4)).save_pretrained(tmp_path / "resnet")
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "resnet")
    export_with_optimum(tmp_path / "resnet", tmp_path / "fp32", "image-classification", None)
    shutil.copytree(tmp_path / "fp32", tmp_path / "int8")
    quantize_dynamic(
        tmp_path / "fp32" / "model.onnx", tmp_path / "int8" / "model.onnx", op_types_to_quantize=["MatMul"]
    )
    found = explain(tmp_path / "int8", tmp_path / "fp32", workload=SMALL)
    assert found.shapes == ((4,),)
    (stayed,) = (finding for finding in found.findings if finding.nodes)
    assert stayed.reason == "unexplained", "there is no file that says what was asked"
    (tmp_path / "int8" / "ort_config.json").write_text('{"quantization": {"operators_to_quantize": ["MatMul"]}}')
    named = explain(tmp_path / "int8", tmp_path / "fp32", workload=SMALL)
    assert {finding.reason for finding in named.findings if finding.nodes} == {"operator_not_asked"}
    convolutions = {
        node.name for node in onnx.load(tmp_path / "fp32" / "model.onnx").graph.node if node.op_type == "Conv"
    }
    assert set(stayed.nodes) == convolutions, "also those that absorbed an activation"


def test_both_have_to_be_what_they_should_be(bert: Pair, classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere is no folder"):
        explain(tmp_path / "nowhere", bert.fp32)
    with pytest.raises(InputError, match="is no ONNX model; export it first"):
        explain(bert.int8, classifier)
    with pytest.raises(InputError, match="holds neither integer products nor Q/DQ; give the INT8 model first"):
        explain(bert.fp32, bert.int8)
    with pytest.raises(InputError, match="is quantized too; give the fp32 export"):
        explain(bert.int8, bert.int8)


def test_models_that_have_no_layer_in_common_are_refused(bert: Pair, tmp_path: Path) -> None:
    import onnx

    other = shutil.copytree(bert.fp32, tmp_path / "other")
    model = onnx.load(other / "model.onnx")
    for node in model.graph.node:
        node.name = node.name.replace("/", "/other/", 1)
        node.input[:] = [name.replace("/", "/other/", 1) for name in node.input]
        node.output[:] = [name.replace("/", "/other/", 1) for name in node.output]
    onnx.save(model, other / "model.onnx")
    with pytest.raises(InputError, match="are not of one model"):
        explain(bert.int8, other, workload=Workload(batch=1, sequence=4, passes=1, threads=1))


def test_a_broken_record_of_the_quantizer_is_an_input_error(bert: Pair, tmp_path: Path) -> None:
    broken = shutil.copytree(bert.int8, tmp_path / "int8")
    (broken / "ort_config.json").write_text("[]")
    with pytest.raises(InputError, match=r"ort_config\.json is not what Optimum writes"):
        explain(broken, bert.fp32, workload=Workload(batch=1, sequence=4, passes=1, threads=1))
