"""Where each family keeps its encoder layers. Data only: adding a family is adding an entry.

Paths are read in Transformers 4 and 5; where the two differ there is one for each, and the one that a model has counts.
They begin at the encoder (`model.base_model`), so that they hold for every head and for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Dotted paths, inside a layer, of the query, key and value projections.
Projections = tuple[str, str, str]

#: What of a layer hangs on its place, and so limits which others may go:
#:   nothing   - any choice is sound;
#:   weights   - all layers are one set of weights, so there is nothing to choose from;
#:   first     - the first layer, and each layer's kind of attention, are built by index;
#:   shortcut  - the first block of a stage changes width and resolution;
#:   shift     - every second block of a stage attends within shifted windows.
Place = Literal["nothing", "weights", "first", "shortcut", "shift"]

_BERT: Projections = ("attention.self.query", "attention.self.key", "attention.self.value")
_DEBERTA: Projections = ("attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj")
_DISTILBERT: Projections = ("attention.q_lin", "attention.k_lin", "attention.v_lin")
_MPNET: Projections = ("attention.attn.q", "attention.attn.k", "attention.attn.v")
_VIT_4: Projections = ("attention.attention.query", "attention.attention.key", "attention.attention.value")
_VIT_5: Projections = ("attention.q_proj", "attention.k_proj", "attention.v_proj")


@dataclass(frozen=True)
class Architecture:
    """One family, by the `model_type` of its config.

    Attributes:
        layers: paths of the list of encoder layers; in a hierarchical family of the list of stages.
        blocks: path, inside a stage, of its list of blocks, which are then the layers, numbered through all stages;
            None where there are no stages.
        count: the config's field for the number of layers; in a hierarchical family for those of each stage.
        projections: where the query, key and value projections of a layer are.
        no_projections: why there are none that can be compared with another model's.
        width: the config's field for the hidden size.
        heads: the config's field for the number of attention heads.
        place: what of a layer hangs on its place.
        attends: whether it is a transformer.
    """

    layers: tuple[str, ...] = ("encoder.layer",)
    blocks: str | None = None
    count: str = "num_hidden_layers"
    projections: tuple[Projections, ...] = (_BERT,)
    no_projections: str = ""
    width: str = "hidden_size"
    heads: str = "num_attention_heads"
    place: Place = "nothing"
    attends: bool = True


_LIKE_BERT = Architecture()
_LIKE_VIT = Architecture(layers=("encoder.layer", "layers"), projections=(_VIT_4, _VIT_5))
_LIKE_CONVNEXT = Architecture(
    layers=("encoder.stages",),
    blocks="layers",
    count="depths",
    projections=(),
    no_projections="it has no attention",
    attends=False,
)

ARCHITECTURES: dict[str, Architecture] = {
    "albert": Architecture(
        layers=(), projections=(), no_projections="all its layers share one set of them", place="weights"
    ),
    "beit": _LIKE_VIT,
    "bert": _LIKE_BERT,
    "camembert": _LIKE_BERT,
    "convnext": _LIKE_CONVNEXT,
    "convnextv2": _LIKE_CONVNEXT,
    "deberta-v2": Architecture(projections=(_DEBERTA,)),
    "deit": _LIKE_VIT,
    "dinov2": _LIKE_VIT,
    "dinov2_with_registers": _LIKE_VIT,
    "distilbert": Architecture(
        layers=("transformer.layer",), count="n_layers", projections=(_DISTILBERT,), width="dim", heads="n_heads"
    ),
    "electra": _LIKE_BERT,
    "modernbert": Architecture(
        layers=("layers",), projections=(), no_projections="it computes the three as one (`Wqkv`)", place="first"
    ),
    "mpnet": Architecture(projections=(_MPNET,)),
    "resnet": Architecture(
        layers=("encoder.stages",),
        blocks="layers",
        count="depths",
        projections=(),
        no_projections="it has no attention",
        place="shortcut",
        attends=False,
    ),
    "roberta": _LIKE_BERT,
    "swin": Architecture(
        layers=("encoder.layers",),
        blocks="blocks",
        count="depths",
        projections=(),
        no_projections="it attends within windows, and its width grows from stage to stage",
        place="shift",
    ),
    "vit": _LIKE_VIT,
    "xlm-roberta": _LIKE_BERT,
}
