"""A DistilBERT from a BERT: the same weights under other names (Sanh et al. 2019, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfcompress.errors import InputError, StageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

#: BERT's name of each part of a layer -> DistilBERT's.
_LAYER = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
#: The same for the parts around the layers; the other embedding, of token types, goes into the positions.
_EMBEDDINGS = {
    f"embeddings.{part}": f"embeddings.{part}" for part in ("word_embeddings", "position_embeddings", "LayerNorm")
}
#: BERT's class -> DistilBERT's class, and the parts of its head.
_HEADS: dict[str, tuple[str, dict[str, str]]] = {
    "BertModel": ("DistilBertModel", {}),
    "BertForMaskedLM": (
        "DistilBertForMaskedLM",
        {
            "cls.predictions.transform.dense": "vocab_transform",
            "cls.predictions.transform.LayerNorm": "vocab_layer_norm",
            "cls.predictions.decoder": "vocab_projector",
        },
    ),
    # The first layer of its head comes from the pooler: tanh there, ReLU here, so it has to be trained.
    "BertForSequenceClassification": (
        "DistilBertForSequenceClassification",
        {"bert.pooler.dense": "pre_classifier", "classifier": "classifier"},
    ),
    "BertForTokenClassification": ("DistilBertForTokenClassification", {"classifier": "classifier"}),
    "BertForQuestionAnswering": ("DistilBertForQuestionAnswering", {"qa_outputs": "qa_outputs"}),
}


def to_distilbert(bert: PreTrainedModel) -> PreTrainedModel:
    """A DistilBERT with the weights and the head of a BERT, which is left as it is.

    DistilBERT has no token types. Row 0 of BERT's is added to the position embeddings, so that a text of one segment
    keeps its sum, and the word embeddings stay those that a masked-lm head is tied to: hidden states are BERT's, and so
    are the logits of every head but that of sequences. The pooler becomes the first layer of that head, and is dropped
    from others.

    Raises:
        InputError: the model is no BERT, has another head than `_HEADS` knows, or positions that are not absolute.
    """
    import transformers

    config = distilbert_config(bert.config)
    name = type(bert).__name__
    if name not in _HEADS:
        raise InputError(f"architecture: distilbert needs one of {', '.join(_HEADS)}, got {name}; {_LEAVE_OUT}")
    kind, head = _HEADS[name]
    student: PreTrainedModel = getattr(transformers, kind)(config).to(bert.dtype)
    _load_(student, _weights(bert, student, head))
    return student.train(bert.training)


def distilbert_config(bert: Any) -> Any:
    """The `DistilBertConfig` of a `BertConfig`.

    Raises:
        InputError: it is of another family, or has positions that are not absolute.
    """
    from transformers import DistilBertConfig

    if bert.model_type != "bert":
        raise InputError(f"architecture: distilbert needs a BERT, got the family {bert.model_type!r}; {_LEAVE_OUT}")
    positions = getattr(bert, "position_embedding_type", None) or "absolute"
    if positions != "absolute":
        raise InputError(f"architecture: distilbert has absolute positions, and this BERT {positions}; {_LEAVE_OUT}")
    classifier_dropout = bert.hidden_dropout_prob if bert.classifier_dropout is None else bert.classifier_dropout
    return DistilBertConfig(
        vocab_size=bert.vocab_size,
        max_position_embeddings=bert.max_position_embeddings,
        dim=bert.hidden_size,
        hidden_dim=bert.intermediate_size,
        n_layers=bert.num_hidden_layers,
        n_heads=bert.num_attention_heads,
        activation=bert.hidden_act,
        dropout=bert.hidden_dropout_prob,
        attention_dropout=bert.attention_probs_dropout_prob,
        seq_classif_dropout=classifier_dropout,
        initializer_range=bert.initializer_range,
        pad_token_id=bert.pad_token_id,
        tie_word_embeddings=bert.tie_word_embeddings,
        id2label=bert.id2label,
        label2id=bert.label2id,
        problem_type=getattr(bert, "problem_type", None),
    )


_LEAVE_OUT = "leave `architecture` out to keep that of `from`"


def _weights(bert: PreTrainedModel, student: PreTrainedModel, head: dict[str, str]) -> dict[str, torch.Tensor]:
    """BERT's weights under DistilBERT's names."""
    encoder = {**_EMBEDDINGS, **_layers(bert.config.num_hidden_layers)}
    theirs, ours = ("" if model.base_model is model else f"{model.base_model_prefix}." for model in (bert, student))
    names = {**{theirs + old: ours + new for old, new in encoder.items()}, **head}
    state = bert.state_dict()
    weights = {
        f"{names[part]}.{kind}": tensor
        for name, tensor in state.items()
        for part, _, kind in [name.rpartition(".")]
        if part in names
    }
    positions = f"{ours}embeddings.position_embeddings.weight"
    weights[positions] = weights[positions] + state[f"{theirs}embeddings.token_type_embeddings.weight"][0]
    return weights


def _layers(count: int) -> dict[str, str]:
    return {
        f"encoder.layer.{index}.{old}": f"transformer.layer.{index}.{new}"
        for index in range(count)
        for old, new in _LAYER.items()
    }


def _load_(student: PreTrainedModel, weights: dict[str, torch.Tensor]) -> None:
    missing, unexpected = student.load_state_dict(weights, strict=False)
    wrong = [name for name in missing if not name.endswith("position_ids")] + list(unexpected)
    if wrong:
        names = ", ".join(wrong[:5])
        raise StageError(f"BERT's weights do not cover DistilBERT's: {names}; this is a defect, report it")
