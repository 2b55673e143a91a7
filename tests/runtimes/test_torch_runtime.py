"""The PyTorch runtime answers as the model itself does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification, ViTConfig, ViTForImageClassification

from hfcompress.errors import InputError, ProviderError
from hfcompress.runtimes.torch import TorchRuntime

Batch = dict[str, np.ndarray]


def test_logits_equal_those_of_the_model(bert_folder: Path, batch: Batch) -> None:
    model = BertForSequenceClassification.from_pretrained(bert_folder).eval()
    with torch.inference_mode():
        expected = model(
            input_ids=torch.tensor(batch["input_ids"]), attention_mask=torch.tensor(batch["attention_mask"])
        ).logits
    outputs = TorchRuntime(bert_folder, "text-classification").predict(batch)
    assert list(outputs) == ["logits"]  # no loss, although the batch holds labels
    torch.testing.assert_close(torch.tensor(outputs["logits"]), expected)


def test_segments_reach_a_model_that_takes_them(bert_folder: Path, batch: Batch) -> None:
    runtime = TorchRuntime(bert_folder, "text-classification")
    segments = batch | {"token_type_ids": np.ones_like(batch["input_ids"])}
    assert not np.allclose(runtime.predict(batch)["logits"], runtime.predict(segments)["logits"])


def test_input_names_are_inputs_and_not_switches(bert_folder: Path) -> None:
    names = TorchRuntime(bert_folder, "text-classification").input_names
    assert names == ("input_ids", "attention_mask", "token_type_ids", "position_ids")


def test_a_missing_main_input_is_named_with_the_way_out(bert_folder: Path, batch: Batch) -> None:
    del batch["input_ids"]
    with pytest.raises(InputError, match=r"needs input_ids, and the batch holds attention_mask.*tokenizer"):
        TorchRuntime(bert_folder, "text-classification").predict(batch)


def test_a_model_in_memory_is_put_in_eval_mode(bert_folder: Path, batch: Batch) -> None:
    model = BertForSequenceClassification.from_pretrained(bert_folder).train()
    runtime = TorchRuntime.from_model(model)
    np.testing.assert_array_equal(runtime.predict(batch)["logits"], runtime.predict(batch)["logits"])


def test_threads_are_set_for_the_call_and_restored(bert_folder: Path, batch: Batch) -> None:
    model = BertForSequenceClassification.from_pretrained(bert_folder)
    seen: list[int] = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    TorchRuntime.from_model(model, threads=before + 1).predict(batch)
    assert (seen, torch.get_num_threads()) == ([before + 1], before)


def test_threads_are_restored_after_a_failure(bert_folder: Path, batch: Batch) -> None:
    before = torch.get_num_threads()
    runtime = TorchRuntime(bert_folder, "text-classification", threads=before + 1)
    with pytest.raises(IndexError):
        runtime.predict(batch | {"input_ids": batch["input_ids"] + 1000})
    assert torch.get_num_threads() == before


def test_read_only_and_strided_arrays_are_taken(bert_folder: Path, batch: Batch) -> None:
    runtime = TorchRuntime(bert_folder, "text-classification")
    strided = np.asfortranarray(batch["input_ids"])
    read_only = batch["input_ids"].copy()
    read_only.flags.writeable = False
    expected = runtime.predict(batch)["logits"]
    for ids in (strided, read_only):
        np.testing.assert_array_equal(runtime.predict(batch | {"input_ids": ids})["logits"], expected)


def test_a_model_of_images_takes_double_precision_pixels() -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ViTConfig(image_size=8, patch_size=4, intermediate_size=16, num_labels=3, **sizes)
    runtime = TorchRuntime.from_model(ViTForImageClassification(config))
    pixels = np.random.default_rng(0).normal(size=(2, 3, 8, 8))
    logits = runtime.predict({"pixel_values": pixels, "labels": np.array([0, 1])})["logits"]
    assert (logits.shape, logits.dtype) == ((2, 3), np.float32)


@pytest.mark.parametrize("device", ["hpu", "cuda:99", "no-such-device"])
def test_a_device_that_torch_lacks_is_an_error_and_not_the_cpu(device: str, bert_folder: Path) -> None:
    with pytest.raises(ProviderError, match=rf"`{device}`[\s\S]*use `cpu`"):
        TorchRuntime(bert_folder, "text-classification", device=device)


def test_the_name_tells_the_device(bert_folder: Path) -> None:
    assert TorchRuntime(bert_folder, "text-classification").name == "torch"
    assert TorchRuntime(bert_folder, "text-classification", device="cpu:0").name == "torch:cpu:0"
