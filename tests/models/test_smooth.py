"""SmoothQuant of fake-quantized models: the same function, seen groups, and less harm from outliers."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hfcompress.calibration.collectors import MinMaxCollector
from hfcompress.calibration.smoothquant import Grid, smoothing_factors
from hfcompress.errors import InputError
from hfcompress.models.fake_quant import QuantScheme, TensorScheme, calibrate_, exporting, insert_fake_quant_
from hfcompress.models.fake_quant.folder import read_structure, rebuild_, write_fake_quant
from hfcompress.models.fake_quant.modules import Given
from hfcompress.models.smooth import grid_of, smooth_
from hfcompress.onnx_graph.integer_weights import store_integer_weights_
from tests.training.toy import VOCABULARY, bert_config, tiny_bert, tiny_distilbert

SCHEME = QuantScheme(TensorScheme(True, True, True), TensorScheme(False, False, False), learned=True)
LAYERS = 2


def tiny_vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 64}
    dropouts = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return ViTForImageClassification(ViTConfig(**sizes, **dropouts, image_size=16, patch_size=4, initializer_range=0.2))


def tiny_albert() -> nn.Module:
    from transformers import AlbertConfig, AlbertForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 64}
    config = AlbertConfig(**sizes, vocab_size=VOCABULARY, embedding_size=16, initializer_range=0.2)
    return AlbertForSequenceClassification(config)


#: Linear layers that read a layer normalization, by their names in Transformers 4 and 5.
READERS = ("query", "key", "value", "q_lin", "k_lin", "v_lin", "lin1", "intermediate.dense", "pooler.dense")
READERS += ("q_proj", "k_proj", "v_proj", "fc1")
FAMILIES: dict[str, Any] = {"bert": tiny_bert, "distilbert": tiny_distilbert, "vit": tiny_vit, "albert": tiny_albert}


def batches(family: str, count: int = 4, first: int = 0) -> list[dict[str, torch.Tensor]]:
    made = []
    for seed in range(first, first + count):
        generator = torch.Generator().manual_seed(seed)
        if family == "vit":
            made.append({"pixel_values": torch.randn(4, 3, 16, 16, generator=generator)})
            continue
        ids = torch.randint(1, VOCABULARY, (4, 12), generator=generator)
        mask = (torch.arange(12) < torch.tensor([[12], [9], [5], [12]])).long()
        made.append({"input_ids": ids * mask, "attention_mask": mask})
    return made


def prepared(family: str) -> nn.Module:
    """A fake-quantized model in eval mode, not calibrated, with channels that are 50 times as large, read by weights
    that are a 50th as large: outliers as trained models have them."""
    model = FAMILIES[family]().eval()
    for name, parameter in model.named_parameters():
        if "norm" in name.lower():
            parameter.data[[3, 17] if len(parameter) > 17 else [3]] *= 50
    for name, module in model.named_modules():
        if name.endswith(READERS) and isinstance(module, nn.Linear):
            module.weight.data[:, [3, 17]] /= 50
    # What rounding the tables of embeddings costs has nothing to do with activations.
    insert_fake_quant_(model, SCHEME, skip=[f"{family}.embeddings"])
    return model.eval()


@torch.no_grad()
def logits(model: nn.Module, family: str) -> torch.Tensor:
    return torch.cat([model(**batch).logits for batch in batches(family, 6, first=50)])


@pytest.mark.parametrize("alpha", ["auto", 0.5])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_answers_as_before(family: str, alpha: Any) -> None:
    model = prepared(family)
    before = logits(model, family)
    report = smooth_(model, batches(family), alpha)
    after = logits(model, family)
    assert report.count("folded") + report.count("inserted") > 2
    assert (after - before).abs().max() < 2e-5 * before.abs().max()
    assert not torch.equal(after, before), "something was changed"


#: folded, inserted; with alpha 0.5
COUNTS = {
    # a normalization feeds a residual connection too: query with key and value, output, two feed-forward, and the
    # pooler and the classifier
    "bert": (0, 4 * LAYERS + 2),
    "distilbert": (0, 4 * LAYERS + 2),
    # two normalizations a layer feed their products alone
    "vit": (2 * LAYERS, 2 * LAYERS + 1),
    # one layer, run twice; and what maps embeddings to its width, which reads a normalization alone
    "albert": (1, 4 + 2),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_normalization_takes_the_factors_where_it_feeds_layers_alone(family: str) -> None:
    model = prepared(family)
    report = smooth_(model, batches(family), 0.5)
    assert (report.count("folded"), report.count("inserted")) == COUNTS[family]
    named = [name for each in report.activations for name in each.products]
    layers = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert len(named) == len(set(named))
    assert set(named) == layers
    inserted = {name for each in report.activations if each.how == "inserted" for name in each.products}
    assert inserted == {name for name in layers if model.get_submodule(name).smooth is not None}


def test_query_key_and_value_share_factors_from_all_their_weights() -> None:
    model = prepared("bert")
    paths = [f"bert.encoder.layer.0.attention.self.{name}" for name in ("query", "key", "value")]
    weights = [model.get_submodule(path).weight.detach().clone() for path in paths]
    seen: list[torch.Tensor] = []
    hook = model.get_submodule(paths[1]).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for batch in batches("bert"):
        model(**batch)
        seen[-1] = seen[-1][batch["attention_mask"].bool()]
    hook.remove()
    largest = torch.cat(seen).detach().abs().amax(0).numpy()
    expected = smoothing_factors(largest, torch.cat(weights).abs().amax(0).numpy(), 0.7)
    smooth_(model, batches("bert"), 0.7)
    for path, weight in zip(paths, weights, strict=True):
        layer = model.get_submodule(path)
        np.testing.assert_allclose(1 / layer.smooth.numpy(), expected, rtol=1e-5)
        np.testing.assert_allclose(layer.weight.detach().numpy(), weight.numpy() * expected, rtol=1e-5)


@pytest.mark.parametrize("family", ["bert", "vit"])
def test_outliers_harm_the_fake_quantized_model_less_than_a_fifth_as_much(family: str) -> None:
    errors = []
    for smooth in (False, True):
        model = prepared(family)
        exact = logits(model, family)
        if smooth:
            smooth_(model, batches(family), grid=grid_of(SCHEME))
        calibrate_(model, batches(family), MinMaxCollector)
        errors.append((logits(model, family) - exact).square().mean().sqrt().item())
    assert errors[1] < errors[0] / 5


def test_the_factors_are_in_the_state_dict_and_training_leaves_them() -> None:
    model = prepared("bert")
    smooth_(model, batches("bert"), 0.5)
    path = "bert.encoder.layer.0.output.dense"
    kept = model.state_dict()[f"{path}.smooth"]
    assert torch.equal(kept, model.get_submodule(path).smooth)
    assert not any("smooth" in name for name, _ in model.named_parameters())


def test_smoothed_layers_that_read_one_tensor_share_a_scale() -> None:
    model = prepared("bert")
    smooth_(model, batches("bert"), 0.5)
    calibrate_(model, batches("bert"), MinMaxCollector)
    attention = model.get_submodule("bert.encoder.layer.0.attention")
    query = attention.get_submodule("self.query.input_quantizer")
    for name in ("key", "value"):
        assert attention.get_submodule(f"self.{name}.input_quantizer").quantizer is query
    assert not isinstance(attention.get_submodule("output.dense.input_quantizer"), Given)


def test_a_smoothed_model_is_the_same_after_its_folder_was_read(tmp_path: Path) -> None:
    model = prepared("bert")
    smooth_(model, batches("bert"), 0.5)
    calibrate_(model, batches("bert"), MinMaxCollector)
    tensors = model.state_dict()
    write_fake_quant(model, tmp_path, tensors)
    structure = read_structure(tmp_path)
    assert structure is not None
    again = tiny_bert(seed=9).eval()
    again.load_state_dict({name: tensors[name] for name in again.state_dict()})
    rebuild_(again, structure, tmp_path)
    assert torch.equal(logits(again.eval(), "bert"), logits(model, "bert"))


@pytest.mark.export
def test_layers_that_read_one_tensor_become_one_mul_of_the_graph(tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.first, self.second = nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            normed = self.norm(x)
            mixed: torch.Tensor = normed + self.first(normed) + self.second(normed)
            return mixed

    torch.manual_seed(0)
    model = Residual().eval()
    insert_fake_quant_(model, SCHEME)
    rows = [{"x": torch.randn(16, 5, 8)}]
    smooth_(model, rows, 0.5)
    calibrate_(model, rows, MinMaxCollector)
    path = tmp_path / "model.onnx"
    with exporting(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (rows[0]["x"],), str(path), input_names=["x"], output_names=["y"], opset_version=17, dynamo=False
        )
    graph = onnx.load(path)
    store_integer_weights_(graph)
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("Mul") == kinds.count("QuantizeLinear") == 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": rows[0]["x"].numpy()})[0]
    np.testing.assert_allclose(found, model(rows[0]["x"]).detach().numpy(), atol=1e-5)


def test_the_mode_of_the_model_stays() -> None:
    for training in (True, False):
        model = prepared("bert").train(training)
        smooth_(model, batches("bert", 1), 0.5)
        assert model.training is training
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_search_makes_no_simulated_error_worse() -> None:
    for grid in (Grid(), Grid(per_channel=False, weight_bits=7)):
        report = smooth_(prepared("bert"), batches("bert"), grid=grid)
        assert all(each.choice.error_after <= each.choice.error_before for each in report.activations)


def test_a_norm_that_the_model_gives_out_is_not_changed() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(8), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            normed = self.norm(x)
            return self.linear(normed), normed

    torch.manual_seed(0)
    model = Encoder().eval()
    insert_fake_quant_(model, SCHEME)
    x = torch.randn(5, 8)
    before = model(x)
    assert smooth_(model, [{"x": x}], 0.5).count("folded") == 0
    for found, expected in zip(model(x), before, strict=True):
        torch.testing.assert_close(found, expected)


def test_a_weight_that_is_tied_to_an_embedding_is_left_alone() -> None:
    from transformers import BertForMaskedLM

    torch.manual_seed(0)
    model = BertForMaskedLM(bert_config()).eval()
    insert_fake_quant_(model, SCHEME)
    table = model.get_input_embeddings().weight.detach().clone()
    report = smooth_(model, batches("bert"), 0.5)
    assert not any("decoder" in name for each in report.activations for name in each.products)
    assert torch.equal(model.get_input_embeddings().weight, table)


def test_a_model_without_fake_quantization_is_refused() -> None:
    with pytest.raises(InputError, match="run insert_fake_quant_ first"):
        smooth_(tiny_bert(), batches("bert"))


def test_no_batches_are_refused() -> None:
    with pytest.raises(InputError, match="smooth needs rows of activations and got no batch"):
        smooth_(prepared("bert"), [])


def test_it_runs_once_and_before_calibration() -> None:
    model = prepared("bert")
    smooth_(model, batches("bert"), 0.5)
    with pytest.raises(InputError, match="calibrated or smoothed already"):
        smooth_(model, batches("bert"))
    model = prepared("bert")
    calibrate_(model, batches("bert"), MinMaxCollector)
    with pytest.raises(InputError, match="before calibrate_"):
        smooth_(model, batches("bert"))


def test_activations_that_are_nan_are_refused_by_name() -> None:
    batch = copy.deepcopy(batches("vit", 1)[0])
    batch["pixel_values"][0] = torch.nan
    with pytest.raises(InputError, match=r"values are NaN or infinite at the input of vit\."):
        smooth_(prepared("vit"), [batch])
