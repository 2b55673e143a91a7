"""INT8 graphs: what became integer, in which range, and how close the answers stay."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from hfcompress.artifact import Artifact, model_bytes
from hfcompress.errors import DataError, InputError, ModelError, StageError
from hfcompress.host import describe_host
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.operators import operator_counts, parameter_count
from hfcompress.quantize.api import quantize_onnx
from hfcompress.quantize.dynamic import quantize_dynamic
from hfcompress.quantize.stage import quantize
from hfcompress.quantize.targets import SCHEMES, Cpu, cpu_of
from hfcompress.recipe.data import DataConfig
from hfcompress.recipe.quantization import Calibration, CalibrationMethod
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.stage import Inputs, Run
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import Rows, load_rows
from hfcompress.tasks.labels import Labels
from tests import tiny
from tests.quantize.conftest import LAYERS, VOCABULARY

pytestmark = pytest.mark.export
#: The kind of CPU that these tests run on: another one's 8-bit weights may saturate here.
HOST = cpu_of(describe_host().flags)
CPUS = get_args(Cpu)


def quantized(fp32: Path, out: Path, cpu: Cpu = "avx512_vnni", per_channel: bool = True) -> Path:
    out.mkdir(parents=True)
    return quantize_dynamic(fp32, out, SCHEMES[cpu], per_channel=per_channel)


def initializers(path: Path) -> dict[str, np.ndarray]:
    import onnx

    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def products(path: Path) -> list[dict[str, np.ndarray]]:
    """Weight, zero point and scale of every integer product."""
    import onnx

    tensors = initializers(path)
    found = []
    for node in onnx.load(path).graph.node:
        if node.op_type == "MatMulInteger":
            stem = node.input[1].removesuffix("_quantized")
            names = {"weight": node.input[1], "zero_point": node.input[3], "scale": f"{stem}_scale"}
            found.append({kind: tensors[name] for kind, name in names.items()})
    return found


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("cpu", CPUS)
def test_weights_lie_in_the_range_of_the_scheme_and_use_it(
    fp32: Path, tmp_path: Path, cpu: Cpu, per_channel: bool
) -> None:
    weights = products(quantized(fp32, tmp_path / "int8", cpu, per_channel))
    assert len(weights) == 6 * LAYERS + 2, "six a layer, the pooler and the classifier"
    limit = 64 if SCHEMES[cpu].reduce_range else 128
    for parts in weights:
        assert parts["weight"].dtype == np.int8
        assert (parts["zero_point"] == 0).all()
        assert -limit <= parts["weight"].min()
        assert parts["weight"].max() <= limit
        assert np.abs(parts["weight"].astype(int)).max() >= limit - 1, "the largest weight is at the end of the range"


@pytest.mark.parametrize("per_channel", [True, False])
def test_there_is_one_scale_for_each_output_channel_or_one_for_the_tensor(
    fp32: Path, tmp_path: Path, per_channel: bool
) -> None:
    for parts in products(quantized(fp32, tmp_path / "int8", per_channel=per_channel)):
        channels = parts["weight"].shape[1]
        assert parts["scale"].size == (channels if per_channel else 1)
        assert parts["zero_point"].size == parts["scale"].size


def test_scale_times_weight_is_the_weight_of_before_within_half_a_step(fp32: Path, tmp_path: Path) -> None:
    before = [tensor for tensor in initializers(model_file(fp32)).values() if tensor.ndim == 2]
    for parts in products(quantized(fp32, tmp_path / "int8")):
        after = parts["weight"] * parts["scale"]
        candidates = [each for tensor in before for each in (tensor, tensor.T) if each.shape == after.shape]
        errors = [np.abs(each - after) / parts["scale"] for each in candidates]
        assert min(error.max() for error in errors) <= 1.001, "rounding to the nearest step, or the next at the end"


def test_the_embedding_table_is_8_bit_and_the_file_about_a_quarter(fp32: Path, tmp_path: Path) -> None:
    path = quantized(fp32, tmp_path / "int8")
    table = next(tensor for tensor in initializers(path).values() if tensor.shape == (VOCABULARY, 32))
    assert table.dtype in (np.int8, np.uint8)
    assert model_bytes(path.parent) < 0.3 * model_bytes(fp32)


def test_attention_products_of_two_activations_stay_in_float(fp32: Path, tmp_path: Path) -> None:
    counts = operator_counts(quantized(fp32, tmp_path / "int8"))
    assert counts["MatMul"] == 2 * LAYERS


def batches(rows: int = 64) -> list[dict[str, np.ndarray]]:
    task, tokenizer = get_task("text-classification"), tiny.make_tokenizer()
    texts = [row["text"] for row in tiny.make_reviews(rows, seed=5)]
    return [task.preprocess(texts[start : start + 16], tokenizer, 64) for start in range(0, rows, 16)]


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("cpu", sorted({"avx2", HOST}))
def test_predictions_stay_close_to_fp32(fp32: Path, tmp_path: Path, cpu: Cpu, per_channel: bool) -> None:
    before = OnnxRuntime(fp32, threads=1)
    after = OnnxRuntime(quantized(fp32, tmp_path / "int8", cpu, per_channel).parent, threads=1)
    pairs = [(before.predict(batch)["logits"], after.predict(batch)["logits"]) for batch in batches()]
    ours, theirs = (np.concatenate(side) for side in zip(*pairs, strict=True))
    assert np.abs(ours - theirs).max() < 0.15 * np.abs(ours).max()
    assert np.corrcoef(ours[:, 0] - ours[:, 1], theirs[:, 0] - theirs[:, 1])[0, 1] > 0.9


@pytest.mark.parametrize("cpu", sorted({"avx2", HOST}))
@pytest.mark.parametrize("rows", [1, 16, 100])
def test_this_cpu_multiplies_weights_of_its_scheme_without_saturation(tmp_path: Path, cpu: Cpu, rows: int) -> None:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    limit = 64 if SCHEMES[cpu].reduce_range else 127
    weights = np.random.default_rng(0).choice([-limit, limit], size=(96, 40)).astype(np.int8)  # the worst there are
    node = helper.make_node("MatMulInteger", ["x", "weights"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.UINT8, [None, 96])
    y = helper.make_tensor_value_info("y", TensorProto.INT32, [None, 40])
    graph = helper.make_graph([node], "product", [x], [y], [numpy_helper.from_array(weights, "weights")])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "product.onnx"
    )
    session = onnxruntime.InferenceSession(tmp_path / "product.onnx", providers=["CPUExecutionProvider"])
    activations = np.random.default_rng(1).choice([0, 254, 255], size=(rows, 96)).astype(np.uint8)
    found = session.run(None, {"x": activations})[0]
    np.testing.assert_array_equal(found, activations.astype(np.int64) @ weights.astype(np.int64))


def test_the_number_of_parameters_does_not_change(fp32: Path, tmp_path: Path) -> None:
    for per_channel in (True, False):
        path = quantized(fp32, tmp_path / str(per_channel), per_channel=per_channel)
        assert parameter_count(path) == parameter_count(model_file(fp32))


def run_of(folder: Path) -> Run:
    folders = {name: folder / name for name in ("out", "work")}
    for path in folders.values():
        path.mkdir(parents=True)
    labels = Labels(("negative", "positive"), {"negative": 0, "positive": 1})
    return Run("int8", Data(get_task("text-classification"), Rows({}, {}), labels, 32), 0, **folders)


@pytest.mark.parametrize("target", ["auto", *CPUS])
def test_the_stage_counts_what_became_integer_and_says_for_which_cpu(fp32: Path, tmp_path: Path, target: Any) -> None:
    run = run_of(tmp_path)
    made = quantize(QuantizeConfig(target=target), Inputs(Artifact(fp32, "onnx")), run)
    assert made.format == "onnx"
    assert made.details is not None
    assert made.details["integer_operators"] == 6 * LAYERS + 2
    assert made.details["target"] == (HOST if target == "auto" else target)
    assert made.details["reason"]
    assert {path.name for path in run.out.iterdir()} >= {"model_quantized.onnx", "config.json", "tokenizer.json"}
    for path in run.out.glob("*.json"):
        json.loads(path.read_text())
        assert str(fp32) not in path.read_text(), f"{path.name} holds an absolute path"
        assert str(tmp_path) not in path.read_text(), f"{path.name} holds an absolute path"


def test_what_is_quantized_already_is_refused(fp32: Path, tmp_path: Path) -> None:
    once = quantized(fp32, tmp_path / "int8").parent
    with pytest.raises(StageError, match="int8 is quantized already; give `from` the fp32 export"):
        quantize(QuantizeConfig(), Inputs(Artifact(once, "onnx")), run_of(tmp_path / "run"))


def reviews_run(reviews: Path, folder: Path, splits: dict[Any, str] | None = None) -> Run:
    """A run whose data is the tiny reviews."""
    config = DataConfig(path=str(reviews), max_length=32, **({} if splits is None else {"splits": splits}))
    run, rows = run_of(folder), load_rows(config, "text-classification", seed=0)
    return replace(run, data=replace(run.data, rows=rows))


@pytest.mark.parametrize("method", get_args(CalibrationMethod))
def test_a_calibration_makes_it_static(fp32: Path, reviews: Path, tmp_path: Path, method: Any) -> None:
    config = QuantizeConfig(calibration=Calibration(method=method, samples=40), target="avx2", skip=("*.layer.1",))
    made = quantize(config, Inputs(Artifact(fp32, "onnx")), reviews_run(reviews, tmp_path))
    assert made.details is not None
    assert made.details["integer_operators"] == 6 * (LAYERS - 1) + 2
    assert "QuantizeLinear" in operator_counts(model_file(made.path))
    assert {path.name for path in made.path.iterdir()} >= {"model_quantized.onnx", "config.json", "tokenizer.json"}
    for path in made.path.glob("*.json"):
        assert str(tmp_path) not in path.read_text(), f"{path.name} holds an absolute path"
    with pytest.raises(StageError, match="out is quantized already"):
        quantize(config, Inputs(made), reviews_run(reviews, tmp_path / "again"))


def test_the_seed_chooses_the_rows_and_equal_seeds_give_equal_graphs(fp32: Path, reviews: Path, tmp_path: Path) -> None:
    config = QuantizeConfig(calibration=Calibration(samples=4))
    graphs = []
    for place, seed in enumerate((0, 0, 1)):
        run = replace(reviews_run(reviews, tmp_path / str(place)), seed=seed)
        graphs.append(model_file(quantize(config, Inputs(Artifact(fp32, "onnx")), run).path).read_bytes())
    assert graphs[0] == graphs[1]
    assert graphs[0] != graphs[2]


def test_without_a_training_split_there_is_nothing_to_calibrate_on(fp32: Path, reviews: Path, tmp_path: Path) -> None:
    run = reviews_run(reviews, tmp_path, {"validation": "validation"})
    with pytest.raises(DataError, match=r"calibration reads training rows, and data\.splits names no `train`"):
        quantize(QuantizeConfig(calibration=Calibration()), Inputs(Artifact(fp32, "onnx")), run)


def test_dynamic_int8_skips_too(fp32: Path, tmp_path: Path) -> None:
    config = QuantizeConfig(skip=("bert.encoder.layer.0", "classifier"))
    made = quantize(config, Inputs(Artifact(fp32, "onnx")), run_of(tmp_path))
    assert made.details is not None
    assert made.details["integer_operators"] == 6 * (LAYERS - 1) + 1
    with pytest.raises(InputError, match=r"skip names 'bert\.encoder\.layer\.7', which fits no layer"):
        quantize(
            QuantizeConfig(skip=("bert.encoder.layer.7",)), Inputs(Artifact(fp32, "onnx")), run_of(tmp_path / "no")
        )


def test_dynamic_int8_for_tensorrt_is_refused(fp32: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="target tensorrt takes static INT8 alone"):
        quantize_onnx(fp32, tmp_path / "int8", target="tensorrt")
    assert not (tmp_path / "int8").exists()


def test_a_graph_for_tensorrt_is_written_where_it_cannot_run(fp32: Path, reviews: Path, tmp_path: Path) -> None:
    data = DataConfig(path=str(reviews), max_length=32)
    assert quantize_onnx(fp32, tmp_path / "int8", target="tensorrt", data=data) == 6 * LAYERS + 2


def test_quantize_onnx_with_data_is_static_and_reads_no_labels(fp32: Path, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    rows = "\n".join(json.dumps({"text": row["text"]}) for row in tiny.make_reviews(30))
    (tmp_path / "rows" / "train.jsonl").write_text(rows)
    data = DataConfig(path=str(tmp_path / "rows"), max_length=32)
    calibration = Calibration(method="percentile", samples=16)
    assert quantize_onnx(fp32, tmp_path / "int8", calibration=calibration, data=data) == 6 * LAYERS + 2
    assert "QuantizeLinear" in operator_counts(model_file(tmp_path / "int8"))
    with pytest.raises(InputError, match="a calibration needs rows, and no data is given"):
        quantize_onnx(fp32, tmp_path / "other", calibration=calibration)


@pytest.fixture
def additions(fp32: Path, tmp_path: Path) -> Path:
    """A graph without a single product."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones(3, dtype=np.float32), "weight")
    x, logits = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3]) for name in ("x", "logits"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "weight"], ["logits"])], "g", [x], [logits], [weight])
    folder = tmp_path / "additions"
    folder.mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    (folder / "config.json").write_text((fp32 / "config.json").read_text())
    return folder


def test_a_graph_in_which_nothing_becomes_integer_is_refused(additions: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="found no MatMul with constant weights in additions; INT8 would gain nothing"):
        quantize(QuantizeConfig(), Inputs(Artifact(additions, "onnx")), run_of(tmp_path / "run"))


def test_quantize_onnx_writes_the_folder_and_counts(fp32: Path, tmp_path: Path) -> None:
    assert quantize_onnx(fp32, tmp_path / "int8", target="avx2", per_channel=False) == 6 * LAYERS + 2
    assert OnnxRuntime(tmp_path / "int8", threads=1).predict(batches(16)[0])["logits"].shape == (16, 2)


def test_quantize_onnx_writes_nothing_when_it_fails(additions: Path, fp32: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError):
        quantize_onnx(additions, tmp_path / "int8")
    with pytest.raises(InputError, match="holds the source"):
        quantize_onnx(fp32, fp32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="holds no ONNX graph"):
        quantize_onnx(tmp_path / "empty", tmp_path / "int8")
    assert not (tmp_path / "int8").exists()
    assert (fp32 / "model.onnx").is_file()
