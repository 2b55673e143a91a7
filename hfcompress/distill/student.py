"""What a student starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hfcompress.errors import StageError
from hfcompress.models.selection import keep_layers
from hfcompress.recipe.stages import StudentConfig

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

#: BERT's name of each weight -> DistilBERT's (Sanh et al. 2019, section 3: the student starts from its teacher).
_DISTILBERT_LAYER = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
_DISTILBERT_REST = {
    "bert.embeddings.": "distilbert.embeddings.",
    "bert.pooler.dense.": "pre_classifier.",
    "classifier.": "classifier.",
}
#: DistilBERT has no segments and counts its positions itself.
_DROPPED = ("bert.embeddings.token_type_embeddings.", "bert.embeddings.position_ids")


def make_student(model: PreTrainedModel, config: StudentConfig) -> PreTrainedModel:
    """The student that a config describes, with weights copied from `model`, which is left as it is.

    Raises:
        InputError: a layer that the model does not have, or an unknown family.
        StageError: DistilBERT from something that is no BERT.
    """
    student = model if config.keep_layers is None else keep_layers(model, config.keep_layers)
    return to_distilbert(student) if config.architecture == "distilbert" else student


def to_distilbert(bert: PreTrainedModel) -> PreTrainedModel:
    """A `DistilBertForSequenceClassification` with the weights of a `BertForSequenceClassification`.

    Its first classifier layer comes from BERT's pooler (tanh there, ReLU here, so it has to be trained), its second
    from BERT's classifier. Token-type embeddings are dropped: row 0 of them is added to the word embeddings, so that a
    single segment keeps its sum.

    Raises:
        StageError: the model is no BERT for sequence classification.
    """
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    if type(bert).__name__ != "BertForSequenceClassification":
        raise StageError(
            f"architecture: distilbert needs a BertForSequenceClassification, got {type(bert).__name__}; "
            "leave `architecture` out to keep the family of `from`"
        )
    student = DistilBertForSequenceClassification(DistilBertConfig(**_distilbert_config(bert.config)))
    weights = {new: tensor for name, tensor in bert.state_dict().items() if (new := _distilbert_name(name)) is not None}
    words = "distilbert.embeddings.word_embeddings.weight"
    weights[words] = weights[words] + bert.state_dict()["bert.embeddings.token_type_embeddings.weight"][0]
    _load(student, weights)
    return student


def _distilbert_config(bert: Any) -> dict[str, Any]:
    return {
        "vocab_size": bert.vocab_size,
        "max_position_embeddings": bert.max_position_embeddings,
        "dim": bert.hidden_size,
        "hidden_dim": bert.intermediate_size,
        "n_layers": bert.num_hidden_layers,
        "n_heads": bert.num_attention_heads,
        "activation": bert.hidden_act,
        "dropout": bert.hidden_dropout_prob,
        "attention_dropout": bert.attention_probs_dropout_prob,
        "seq_classif_dropout": bert.hidden_dropout_prob if bert.classifier_dropout is None else bert.classifier_dropout,
        "pad_token_id": bert.pad_token_id,
        "id2label": bert.id2label,
        "label2id": bert.label2id,
    }


def _distilbert_name(name: str) -> str | None:
    """DistilBERT's name of a BERT weight, or None where it has none."""
    if name.startswith(_DROPPED):
        return None
    if name.startswith("bert.encoder.layer."):
        index, _, rest = name.removeprefix("bert.encoder.layer.").partition(".")
        part, _, kind = rest.rpartition(".")
        return f"distilbert.transformer.layer.{index}.{_DISTILBERT_LAYER[part]}.{kind}"
    for old, new in _DISTILBERT_REST.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _load(student: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> None:
    missing, unexpected = student.load_state_dict(weights, strict=False)
    wrong = [name for name in missing if not name.endswith("position_ids")] + list(unexpected)
    if wrong:
        names = ", ".join(wrong[:5])
        raise StageError(f"BERT's weights do not cover DistilBERT's: {names}; this is a defect, report it")
