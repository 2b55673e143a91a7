"""Where each family keeps its encoder layers. Data only: adding a family is adding an entry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """One family, by the `model_type` of its config.

    Attributes:
        layers: dotted paths of the list of encoder layers: one, or one for each way that Transformers 4 and 5 name it.
        count: the config's field for their number.
        projections: dotted paths, inside a layer, of the query, key and value projections; None where they are one.
        width, heads: the config's fields for the hidden size and the number of attention heads.
    """

    layers: tuple[str, ...]
    count: str = "num_hidden_layers"
    projections: tuple[str, str, str] | None = ("attention.self.query", "attention.self.key", "attention.self.value")
    width: str = "hidden_size"
    heads: str = "num_attention_heads"


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(("bert.encoder.layer",)),
    "deit": Architecture(("deit.encoder.layer", "deit.layers")),
    "distilbert": Architecture(
        ("distilbert.transformer.layer",),
        count="n_layers",
        projections=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        width="dim",
        heads="n_heads",
    ),
    "electra": Architecture(("electra.encoder.layer",)),
    "mpnet": Architecture(
        ("mpnet.encoder.layer",), projections=("attention.attn.q", "attention.attn.k", "attention.attn.v")
    ),
    "roberta": Architecture(("roberta.encoder.layer",)),
    "vit": Architecture(("vit.encoder.layer", "vit.layers")),
    "xlm-roberta": Architecture(("roberta.encoder.layer",)),
}
