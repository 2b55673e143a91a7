"""A tiny random model of every family in `architectures.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers

SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
TEXT = {"vocab_size": 60, "max_position_embeddings": 64}
PIXELS = {"image_size": 16, "patch_size": 4}
DISTIL = {"dim": 32, "n_layers": 4, "n_heads": 2, "hidden_dim": 64}
#: model_type -> its classes' prefix and the sizes of its config.
FAMILIES: dict[str, tuple[str, dict[str, int]]] = {
    "bert": ("Bert", {**SIZES, **TEXT}),
    "deit": ("DeiT", {**SIZES, **PIXELS}),
    "distilbert": ("DistilBert", {**DISTIL, **TEXT}),
    "electra": ("Electra", {**SIZES, **TEXT, "embedding_size": 16}),
    "mpnet": ("MPNet", {**SIZES, **TEXT}),
    "roberta": ("Roberta", {**SIZES, **TEXT}),
    "vit": ("ViT", {**SIZES, **PIXELS}),
    "xlm-roberta": ("XLMRoberta", {**SIZES, **TEXT}),
}


def make(model_type: str, *, head: bool = True, seed: int = 0, **config: Any) -> Any:
    """A random model in eval mode, with a head for three labels or bare."""
    prefix, sizes = FAMILIES[model_type]
    torch.manual_seed(seed)
    made = getattr(transformers, f"{prefix}Config")(**{**sizes, "num_labels": 3, "initializer_range": 0.2, **config})
    kind = ("ForImageClassification" if "image_size" in sizes else "ForSequenceClassification") if head else "Model"
    return getattr(transformers, prefix + kind)(made).eval()


def inputs(model: Any) -> dict[str, torch.Tensor]:
    """A batch of three rows, the last one padded, or three images."""
    rng = np.random.default_rng(0)
    if model.main_input_name == "pixel_values":
        return {"pixel_values": torch.tensor(rng.normal(size=(3, 3, 16, 16)), dtype=torch.float32)}
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[2, 5:] = 0
    return {"input_ids": torch.tensor(rng.integers(5, 60, (3, 9))), "attention_mask": mask}


def outputs(model: Any) -> torch.Tensor:
    """Logits, or the last hidden state of a bare encoder."""
    with torch.inference_mode():
        found = model(**inputs(model))
    return found.logits if "logits" in found else found.last_hidden_state
