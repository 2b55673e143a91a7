"""SmoothQuant of exported graphs: the same function, and less harm from outliers under static INT8."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress.calibration.padding import without_padding
from hfcompress.calibration.smoothquant import Grid, SmoothReport
from hfcompress.errors import InputError, StageError
from hfcompress.host import describe_host
from hfcompress.onnx_graph.first_token import first_token_only_
from hfcompress.onnx_graph.products import weight_products
from hfcompress.onnx_graph.wiring import Wiring
from hfcompress.quantize.quantizer import quantizer_for
from hfcompress.quantize.smooth import smooth_graph_
from hfcompress.quantize.targets import SCHEMES, cpu_of
from hfcompress.recipe.quantization import Calibration, SmoothQuantConfig
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from tests import tiny
from tests.onnx_graph.test_first_token import by_hand, copy_of, node, run, save_family, text

pytestmark = pytest.mark.export
LAYERS = 2
HOST = cpu_of(describe_host().flags)
REDUCE_RANGE = SCHEMES[HOST].reduce_range


#: Linear layers that read a layer normalization.
READERS = ("query", "key", "value", "q_lin", "k_lin", "v_lin", "lin1", "intermediate.dense", "pooler.dense")


def with_outliers(folder: Path) -> Path:
    """Two channels of every layer normalization 50 times as large, and read by weights a 50th as large: outliers as
    trained models have them."""
    from safetensors.numpy import load_file, save_file

    weights = {name: values.copy() for name, values in load_file(folder / "model.safetensors").items()}
    for name, values in weights.items():
        if "norm" in name.lower():
            values[[3, 17]] *= 50
        elif name.removesuffix(".weight").endswith(READERS):
            values[:, [3, 17]] /= 50
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def pixels(seed: int) -> dict[str, np.ndarray]:
    return {"pixel_values": np.random.default_rng(seed).standard_normal((4, 3, 16, 16)).astype(np.float32)}


def save_vit_classifier(folder: Path) -> Path:
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    tiny.save_vit(folder)
    torch.manual_seed(0)
    config = ViTConfig(**tiny.TINY, num_hidden_layers=LAYERS, image_size=16, patch_size=4, initializer_range=0.1)
    ViTForImageClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Exports of families with outliers, by name; `-14` is a layer normalization in several operators."""
    from hfcompress.export.optimum import export_with_optimum

    made = {name: tmp_path_factory.mktemp(name) for name in ("Bert", "DistilBert", "ViT", "ViT-14")}
    for name in ("Bert", "DistilBert"):
        source = with_outliers(save_family(name, tmp_path_factory.mktemp("torch")))
        export_with_optimum(source, made[name], "text-classification", None)
    source = with_outliers(save_vit_classifier(tmp_path_factory.mktemp("torch")))
    for name, opset in (("ViT", None), ("ViT-14", 14)):
        export_with_optimum(source, made[name], "image-classification", opset)
    return made


@pytest.fixture(scope="module")
def graphs(folders: dict[str, Path]) -> dict[str, Any]:
    """The same as `onnx.ModelProto`s; `-first` is the one whose last layer computes the first token alone."""
    import onnx

    made = {name: onnx.load(folder / "model.onnx") for name, folder in folders.items()}
    made["Bert-first"] = copy_of(made["Bert"])
    assert first_token_only_(made["Bert-first"])
    return made


def inputs(name: str, seed: int) -> dict[str, np.ndarray]:
    return pixels(seed) if name.startswith("ViT") else text(4, 12, seed)


def smoothed(graphs: dict[str, Any], name: str, alpha: Any = "auto", **options: Any) -> tuple[Any, SmoothReport]:
    model = copy_of(graphs[name])
    return model, smooth_graph_(model, [inputs(name, seed) for seed in range(4)], alpha, **options)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


FAMILIES = ("Bert", "Bert-first", "DistilBert", "ViT", "ViT-14")


@pytest.mark.parametrize("alpha", ["auto", 0.5, 0.8])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_fp32_graph_answers_as_before(graphs: dict[str, Any], name: str, alpha: Any) -> None:
    import onnx

    model, report = smoothed(graphs, name, alpha)
    onnx.checker.check_model(model, full_check=True)
    assert report.count("folded") + report.count("inserted") > LAYERS
    batch = inputs(name, 99)
    assert relative(run(model, batch)["logits"], run(graphs[name], batch)["logits"]) < 2e-5


#: Of what is smoothed, how much takes a Mul: see the docstring of `smooth`.
MULS = {
    # two layers: before the attention, before and within the feed-forward network; behind the pooler's tanh
    "Bert": 3 * LAYERS + 1,
    # the last layer's query reads a slice of its own, as does the residual
    "Bert-first": 3 * LAYERS + 2,
    # no pooler: a ReLU before the classifier, and nothing before it but a linear layer
    "DistilBert": 3 * LAYERS,
    # the feed-forward network alone, behind the GELU
    "ViT": LAYERS,
    "ViT-14": LAYERS,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_mul_is_inserted_only_where_there_is_no_way_up(graphs: dict[str, Any], name: str) -> None:
    model, report = smoothed(graphs, name, 0.5)
    assert report.count("inserted") == MULS[name]
    kinds = [sum(each.op_type == "Mul" for each in graph.graph.node) for graph in (graphs[name], model)]
    assert kinds[1] - kinds[0] == MULS[name]
    assert report.details()["inserted"] == MULS[name]
    products = [name for each in report.activations for name in each.products]
    assert len(products) == len(set(products)) == len(weight_products(Wiring(graphs[name])))


def test_query_key_and_value_get_the_same_factors(graphs: dict[str, Any]) -> None:
    before = {each.node.name: each.weight(Wiring(graphs["Bert"])) for each in weight_products(Wiring(graphs["Bert"]))}
    model, report = smoothed(graphs, "Bert", 0.5)
    after = {each.node.name: each.weight(Wiring(model)) for each in weight_products(Wiring(model))}
    shared = [each for each in report.activations if len(each.products) == 3]
    assert len(shared) == LAYERS
    for each in shared:
        query, key, _ = sorted(each.products, key=lambda name: "query" not in name)
        for product in (query, key):
            if "value" not in product:  # its columns take the factors of the attention's output
                ratio = after[product] / before[product]
                np.testing.assert_allclose(ratio, np.broadcast_to(each.choice.factors[:, None], ratio.shape), rtol=1e-5)


@pytest.mark.parametrize("grid", [Grid(), Grid(per_channel=False), Grid(weight_bits=7, symmetric_activations=True)])
def test_the_search_never_makes_a_simulated_error_worse(graphs: dict[str, Any], grid: Grid) -> None:
    for name in ("Bert", "ViT"):
        _, report = smoothed(graphs, name, grid=grid)
        for each in report.activations:
            assert each.choice.error_after <= each.choice.error_before
            assert (each.how == "left") == (each.choice.alpha is None)


def test_with_one_scale_a_weight_no_product_before_is_changed(graphs: dict[str, Any]) -> None:
    _, report = smoothed(graphs, "ViT", 0.5, grid=Grid(per_channel=False))
    assert report.count("folded") == 2 * LAYERS + 1, "the layer normalizations alone"
    assert report.count("inserted") == 2 * LAYERS


class Rows:
    """Calibration rows in the form that ONNX Runtime's quantizer reads."""

    def __init__(self, batches: list[dict[str, np.ndarray]]) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def static_int8(model: Any, name: str, folder: Path) -> Any:
    """ONNX Runtime's own static INT8, minmax, of the products with weights."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(Rows, CalibrationDataReader):
        pass

    folder.mkdir()
    onnx.save(model, folder / "fp32.onnx")
    taken = {value.name for value in model.graph.input}
    batches = [{key: value for key, value in inputs(name, seed).items() if key in taken} for seed in range(4)]
    quantize_static(
        folder / "fp32.onnx",
        folder / "int8.onnx",
        Reader(batches),
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
        per_channel=True,
        reduce_range=REDUCE_RANGE,
        nodes_to_quantize=[each.node.name for each in weight_products(Wiring(model))],
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
    )
    return onnx.load(folder / "int8.onnx")


@pytest.mark.parametrize("name", ["Bert", "ViT"])
def test_outliers_harm_static_int8_less_than_a_fifth_as_much(graphs: dict[str, Any], name: str, tmp_path: Path) -> None:
    model, _ = smoothed(graphs, name, grid=Grid(weight_bits=7 if REDUCE_RANGE else 8))
    plain, better = static_int8(graphs[name], name, tmp_path / "plain"), static_int8(model, name, tmp_path / "smooth")
    errors = []
    for int8 in (plain, better):
        pairs = [(run(int8, batch)["logits"], run(graphs[name], batch)["logits"]) for batch in heldout(name)]
        found, exact = (np.concatenate(side) for side in zip(*pairs, strict=True))
        errors.append(float(np.sqrt(np.mean((found - exact) ** 2))))
    assert errors[1] < errors[0] / 5


def heldout(name: str) -> list[dict[str, np.ndarray]]:
    return [inputs(name, 50 + seed) for seed in range(6)]


def stage_errors(folder: Path, out: Path, config: QuantizeConfig) -> float:
    """The root mean square error of the logits of a static INT8 artifact on rows that it was not calibrated on."""
    out.mkdir()
    write = quantizer_for(config, folder, SCHEMES[HOST], lambda: (inputs("Bert", seed) for seed in range(8)))
    int8, fp32 = (OnnxRuntime(path, threads=1) for path in (write(out, ()), folder))
    differences = [int8.predict(batch)["logits"] - fp32.predict(batch)["logits"] for batch in heldout("Bert")]
    return float(np.sqrt(np.mean(np.square(differences))))


@pytest.mark.parametrize("per_channel", [True, False])
def test_the_quantize_stage_smooths_before_it_calibrates(
    folders: dict[str, Path], tmp_path: Path, per_channel: bool, caplog: pytest.LogCaptureFixture
) -> None:
    config = QuantizeConfig(calibration=Calibration(), per_channel=per_channel)
    plain = stage_errors(folders["Bert"], tmp_path / "plain", config)
    with caplog.at_level("INFO"):
        smooth = stage_errors(
            folders["Bert"], tmp_path / "smooth", config.model_copy(update={"smooth": SmoothQuantConfig()})
        )
    assert smooth < plain / 3
    assert "folded" in caplog.text
    assert "harder to round" not in caplog.text


def test_an_alpha_that_harms_is_warned_of(
    folders: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = QuantizeConfig(calibration=Calibration(), smooth=SmoothQuantConfig(alpha=0.0))
    stage_errors(folders["Bert"], tmp_path / "int8", config)
    assert "alpha 0.0 makes" in caplog.text


def test_no_calibration_rows_is_refused(graphs: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="smooth needs rows of activations and got none"):
        smooth_graph_(copy_of(graphs["Bert"]), [])


def test_rows_that_give_nan_are_refused(graphs: dict[str, Any]) -> None:
    batch = pixels(0)
    batch["pixel_values"][1] = np.nan
    with pytest.raises(InputError, match=r"calibration: \d+ of \d+ values are NaN or infinite in /"):
        smooth_graph_(copy_of(graphs["ViT"]), [batch])


def test_a_graph_without_a_product_with_constant_weights_is_refused() -> None:
    model = by_hand([node("Relu", "x", "r"), node("MatMul", "x r", "y")])
    with pytest.raises(StageError, match="no MatMul or Gemm with a constant weight"):
        smooth_graph_(model, [{"x": np.ones((1, 4, 4), np.float32)}])


def test_layers_that_share_a_weight_are_left_alone() -> None:
    model = by_hand([node("MatMul", "x w", "a"), node("MatMul", "a w", "y")])
    with pytest.raises(StageError, match="of its own"):
        smooth_graph_(model, [{"x": np.ones((1, 4, 4), np.float32)}])


def test_excluded_products_keep_their_weights(graphs: dict[str, Any]) -> None:
    names = [each.node.name for each in weight_products(Wiring(graphs["ViT"]))]
    excluded = {name for name in names if "query" in name or "classifier" in name}
    model, report = smoothed(graphs, "ViT", 0.5, excluded=excluded)
    products = [name for each in report.activations for name in each.products]
    assert set(products) == set(names) - excluded
    assert report.count("inserted") == 2 * LAYERS, "what the query reads too cannot go into the normalization"
    batch = pixels(7)
    assert relative(run(model, batch)["logits"], run(graphs["ViT"], batch)["logits"]) < 2e-5


def test_padding_does_not_count() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(without_padding(values, mask), values[[0, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(without_padding(values.reshape(6, 4), mask), values[[0, 0, 1], [0, 1, 0]])
    assert len(without_padding(values[:, :1], mask)) == 2, "one row for each text"
    assert len(without_padding(values, None)) == 6


def test_the_ranges_of_rows_with_padding_are_those_without_it(graphs: dict[str, Any]) -> None:
    batch = text(1, 9)
    batch["attention_mask"][:] = 1
    padded = {name: np.pad(value, ((0, 0), (0, 7)), constant_values=0) for name, value in batch.items()}
    factors = []
    for rows in (batch, padded):
        report = smooth_graph_(copy_of(graphs["Bert"]), [rows], 0.5)
        factors.append([each.choice.factors for each in report.activations])
    for one, other in zip(*factors, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)
