"""Loading and saving: float32, eval mode, the task's head, and nothing that runs code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hfcompress.errors import ModelError
from hfcompress.models.loading import load_model, save_model
from tests import tiny
from tests.models.conftest import FAMILIES, make, outputs

TASK = "text-classification"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_is_loaded_with_the_same_answers(family: str, tmp_path: Path) -> None:
    model = make(family)
    save_model(model, tiny.make_tokenizer(), tmp_path)
    task = TASK if "ForSequenceClassification" in FAMILIES[family].heads else "image-classification"
    loaded = load_model(tmp_path, task)
    torch.testing.assert_close(outputs(loaded), outputs(model), rtol=0, atol=0)
    assert not loaded.training


def test_a_saved_model_holds_weights_config_and_tokenizer_and_no_pickle_or_path(
    classifier: Path, tmp_path: Path
) -> None:
    save_model(load_model(classifier, TASK), tiny.make_tokenizer(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    assert not {name for name in names if name.endswith((".bin", ".pt", ".pkl"))}
    for path in tmp_path.glob("*.json"):
        assert str(classifier) not in path.read_text(), path.name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_checkpoint_of_half_precision_is_loaded_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    model = make("bert")
    model.to(dtype).save_pretrained(tmp_path)
    loaded = load_model(tmp_path, TASK)
    assert {tensor.dtype for tensor in loaded.state_dict().values() if tensor.is_floating_point()} == {torch.float32}
    torch.testing.assert_close(outputs(loaded), outputs(model.float()), rtol=0, atol=0)
    loaded.save_pretrained(tmp_path / "again")
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert config.get("dtype", config.get("torch_dtype")) == "float32"


def test_a_bare_encoder_has_no_head_to_ask(encoder: Path) -> None:
    with pytest.raises(ModelError, match=r"no head for text-classification \(its config names BertModel\); begin the"):
        load_model(encoder, TASK)


def test_a_head_of_another_task_is_refused(classifier: Path) -> None:
    with pytest.raises(ModelError, match="no head for image-classification"):
        load_model(classifier, "image-classification")


def test_a_new_head_knows_the_labels_and_keeps_the_encoder(encoder: Path) -> None:
    model = load_model(encoder, TASK, labels=tiny.classes("bad", "so-so", "good"))
    assert model.config.id2label == {0: "bad", 1: "so-so", 2: "good"}
    assert model.config.label2id == {"bad": 0, "so-so": 1, "good": 2}
    assert outputs_shape(model) == (2, 3)
    for name, tensor in load_file(encoder / "model.safetensors").items():
        torch.testing.assert_close(model.state_dict()[f"bert.{name}"], tensor, rtol=0, atol=0)


def outputs_shape(model: torch.nn.Module) -> tuple[int, ...]:
    with torch.inference_mode():
        return tuple(model(input_ids=torch.ones(2, 5, dtype=torch.long)).logits.shape)


def test_a_head_with_the_same_number_of_labels_is_kept(classifier: Path) -> None:
    kept = load_model(classifier, TASK, labels=tiny.classes("no", "yes")).state_dict()["classifier.weight"]
    torch.testing.assert_close(kept, load_file(classifier / "model.safetensors")["classifier.weight"], rtol=0, atol=0)


def test_a_head_with_another_number_of_labels_is_drawn_anew(classifier: Path) -> None:
    assert outputs_shape(load_model(classifier, TASK, labels=tiny.classes("a", "b", "c"))) == (2, 3)


def test_a_new_head_has_one_label_a_row_whatever_the_source_had(tmp_path: Path) -> None:
    source = tiny.save_bert(tmp_path / "several", head=True, problem_type="multi_label_classification")
    model = load_model(source, TASK, labels=tiny.classes("a", "b"))
    ids = torch.ones(2, 5, dtype=torch.long)
    found = model(input_ids=ids, labels=torch.tensor([0, 1]))
    torch.testing.assert_close(found.loss, torch.nn.functional.cross_entropy(found.logits, torch.tensor([0, 1])))


@pytest.fixture
def copied(classifier: Path, tmp_path: Path) -> Path:
    return shutil.copytree(classifier, tmp_path / "copied")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("lost", ["classifier.weight", "bert.encoder.layer.1.output.dense.weight"])
def test_a_model_that_lacks_a_weight_is_refused_and_not_filled_with_random_numbers(copied: Path, lost: str) -> None:
    weights = load_file(copied / "model.safetensors")
    del weights[lost]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"lacks 1 weights of its model \\({lost}"):
        load_model(copied, TASK)


def test_weights_that_are_cut_off_are_one_clear_error(copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"bytes behind its header, and its tensors take .*get it again"):
        load_model(copied, TASK)


def test_an_unknown_model_type_is_one_clear_error(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "model_type": "made-up"}))
    with pytest.raises(ModelError, match=f"could not be loaded for {TASK}: .*made-up"):
        load_model(copied, TASK)


def test_a_pickle_is_refused_before_it_is_read(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        load_model(copied, TASK)


def test_a_saved_tokenizer_gives_only_what_the_model_takes(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = tiny.make_tokenizer()
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names  # what is written
    for family, names in (("bert", {"token_type_ids"}), ("distilbert", set())):
        save_model(make(family), tokenizer, tmp_path / family)
        given = AutoTokenizer.from_pretrained(tmp_path / family)("good bad", return_tensors="pt")
        assert set(given) == {"input_ids", "attention_mask"} | names
        with torch.inference_mode():
            load_model(tmp_path / family, TASK)(**given)
    assert "token_type_ids" in tokenizer.model_input_names, "the caller's tokenizer is left as it is"
