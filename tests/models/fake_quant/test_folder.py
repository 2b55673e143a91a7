"""A fake-quantized model is saved and loaded whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hfcompress.errors import ModelError
from hfcompress.models.fake_quant.folder import SCALES, STRUCTURE, structure_of
from hfcompress.models.loading import load_model, save_model
from tests import tiny
from tests.models.conftest import make, outputs
from tests.models.fake_quant.rounding import rounded, set_scale_

TASKS: dict[str, Any] = {"bert": "text-classification", "distilbert": "text-classification"}


def task_of(family: str) -> Any:
    return TASKS.get(family, "image-classification")


@pytest.mark.parametrize("family", ["bert", "distilbert", "vit", "resnet", "convnext"])
@pytest.mark.parametrize("learned", [True, False])
def test_a_loaded_model_answers_bit_for_bit_as_the_saved_one(family: str, learned: bool, tmp_path: Path) -> None:
    model = rounded(family, learned=learned, products=family in ("bert", "vit"))
    for module in model.modules():
        if hasattr(module, "collector"):  # as if it had been trained
            set_scale_(module, module.scale.detach().item() * 0.9, module.zero_point.item())
    save_model(model, tiny.make_tokenizer(), tmp_path)
    loaded = load_model(tmp_path, task_of(family))
    assert torch.equal(outputs(loaded), outputs(model))
    assert structure_of(loaded) == structure_of(model)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert not any(module.training for module in loaded.modules())
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_tied_weights_are_tied_again(tmp_path: Path) -> None:
    model = rounded("bert", head="ForMaskedLM")
    save_model(model, tiny.make_tokenizer(), tmp_path)
    loaded = load_model(tmp_path, "masked-lm")
    assert torch.equal(outputs(loaded), outputs(model))
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight


def test_a_plain_folder_is_loaded_as_a_plain_model(classifier: Path) -> None:
    names = load_model(classifier, "text-classification").state_dict()
    assert not [name for name in names if "quantizer" in name]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(rounded("bert"), tiny.make_tokenizer(), tmp_path)
    return tmp_path


def test_a_scale_that_is_missing_is_named(saved: Path) -> None:
    scales = load_file(saved / SCALES)
    del scales["classifier.weight_quantizer.scale"]
    save_file(scales, saved / SCALES)
    with pytest.raises(ModelError, match=r"do not fit a BertForSequenceClassification.*classifier\.weight_quantizer"):
        load_model(saved, "text-classification")


def test_a_layer_that_the_model_lacks_and_another_head_are_one_clear_error_each(saved: Path) -> None:
    with pytest.raises(ModelError, match="the number of labels that it was saved with"):
        load_model(saved, "text-classification", labels=tiny.classes("a", "b", "c", "d"))
    content = json.loads((saved / STRUCTURE).read_text())
    (saved / STRUCTURE).write_text(json.dumps({**content, "layers": ["bert.nowhere"]}))
    with pytest.raises(ModelError, match="nowhere"):
        load_model(saved, "text-classification")


@pytest.mark.parametrize("text", ["{}", "no json", '{"scheme": 3}'])
def test_a_file_that_describes_no_model_is_one_clear_error(saved: Path, text: str) -> None:
    (saved / STRUCTURE).write_text(text)
    with pytest.raises(ModelError, match=r"fake_quant\.json does not describe"):
        load_model(saved, "text-classification")


def test_a_plain_model_leaves_no_file(tmp_path: Path) -> None:
    save_model(make("bert"), tiny.make_tokenizer(), tmp_path)
    assert not (tmp_path / STRUCTURE).exists()
    assert not (tmp_path / SCALES).exists()


def test_the_weights_beside_are_those_of_a_plain_model(tmp_path: Path) -> None:
    save_model(rounded("bert"), tiny.make_tokenizer(), tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == make("bert").state_dict().keys()
    assert all("quantizer" in name for name in load_file(tmp_path / SCALES))
