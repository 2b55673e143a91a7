"""A tiny random model of every family in `architectures.py`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import transformers

#: What a model may end in; `Model` is a bare encoder.
TEXT_HEADS = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM")
IMAGE_HEADS = ("Model", "ForImageClassification")

SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
TEXT = {**SIZES, "vocab_size": 60, "max_position_embeddings": 64}
IMAGE = {**SIZES, "image_size": 16, "patch_size": 4}
DISTIL = {"dim": 32, "n_layers": 4, "n_heads": 2, "hidden_dim": 64, "vocab_size": 60, "max_position_embeddings": 64}
SWIN = {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [4, 2], "num_heads": [1, 2], "window_size": 4}
CONVNEXT = {"depths": [2, 2], "hidden_sizes": [8, 16], "num_stages": 2, "patch_size": 4}
RESNET = {"depths": [3, 2], "hidden_sizes": [8, 16], "embedding_size": 4, "layer_type": "basic"}
#: Tokens within the vocabulary; every second layer attends globally, within windows of 2 tokens the others.
MODERN = {
    **{f"{name}_token_id": place for place, name in enumerate(("pad", "bos", "eos", "cls", "sep"))},
    "global_attn_every_n_layers": 2,
    "local_attention": 2,
}


@dataclass(frozen=True)
class Family:
    """How to build a tiny model of a family.

    Attributes:
        prefix: of its classes.
        config: of the model; four layers, where it has no stages.
        kept: a choice of layers that is sound and changes their numbers.
    """

    prefix: str
    config: dict[str, Any]
    kept: list[int] = field(default_factory=lambda: [0, 2])

    @property
    def heads(self) -> tuple[str, ...]:
        """What its models may end in."""
        return TEXT_HEADS if "vocab_size" in self.config else IMAGE_HEADS


FAMILIES: dict[str, Family] = {
    "albert": Family("Albert", {**TEXT, "embedding_size": 16}),
    "beit": Family("Beit", {**IMAGE, "layer_scale_init_value": 1.0, "out_indices": [1, 2, 4]}),
    "bert": Family("Bert", TEXT),
    "camembert": Family("Camembert", TEXT),
    # A scale of 1e-6, the default, would hide that layers went.
    "convnext": Family("ConvNext", {**CONVNEXT, "layer_scale_init_value": 1.0}, kept=[1, 2]),
    "convnextv2": Family("ConvNextV2", CONVNEXT, kept=[1, 3]),
    "deberta-v2": Family("DebertaV2", {**TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "deit": Family("DeiT", IMAGE),
    "dinov2": Family("Dinov2", IMAGE),
    "dinov2_with_registers": Family("Dinov2WithRegisters", IMAGE),
    "distilbert": Family("DistilBert", DISTIL),
    "electra": Family("Electra", {**TEXT, "embedding_size": 16}),
    "modernbert": Family("ModernBert", {**TEXT, **MODERN}, kept=[0, 3]),
    "mpnet": Family("MPNet", TEXT),
    "resnet": Family("ResNet", RESNET, kept=[0, 2, 3]),
    "roberta": Family("Roberta", TEXT),
    "swin": Family("Swin", SWIN, kept=[0, 3, 4, 5]),
    "vit": Family("ViT", IMAGE),
    "xlm-roberta": Family("XLMRoberta", TEXT),
}
#: Those whose layers can be chosen from.
CHOOSABLE = {name: family for name, family in FAMILIES.items() if name != "albert"}


def make(model_type: str, *, head: bool | str = True, seed: int = 0, **config: Any) -> Any:
    """A random model in eval mode: with a head by its class's ending, for three labels, or bare."""
    family = FAMILIES[model_type]
    ending = head if isinstance(head, str) else family.heads[head]
    labels = 2 if ending == "ForQuestionAnswering" else 3
    torch.manual_seed(seed)
    sizes = {**family.config, "num_labels": labels, "initializer_range": 0.2}
    made = getattr(transformers, f"{family.prefix}Config")(**{**sizes, **config})
    with warnings.catch_warnings():
        # Importing DeBERTa or ModernBERT imports parts of torch that warn of their own end.
        warnings.filterwarnings("ignore", r".*torch\.jit", DeprecationWarning)
        kind = getattr(transformers, family.prefix + ending)
    return kind(made).eval()


def inputs(model: Any) -> dict[str, torch.Tensor]:
    """A batch of three rows, the last one padded, or three images."""
    rng = np.random.default_rng(0)
    if model.main_input_name == "pixel_values":
        return {"pixel_values": torch.tensor(rng.normal(size=(3, 3, 16, 16)), dtype=torch.float32)}
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[2, 5:] = 0
    return {"input_ids": torch.tensor(rng.integers(5, 60, (3, 9))), "attention_mask": mask}


def outputs(model: Any) -> torch.Tensor:
    """Logits, both for spans, or the last hidden state of a bare encoder."""
    with torch.inference_mode():
        found = model(**inputs(model))
    if "start_logits" in found:
        return torch.stack([found.start_logits, found.end_logits])
    return found.logits if "logits" in found else found.last_hidden_state
