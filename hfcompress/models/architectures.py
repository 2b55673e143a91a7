"""Where each family keeps its encoder layers. Data only: adding a family is adding an entry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """One family, by the `model_type` of its config.

    Attributes:
        layers: dotted paths of the list of encoder layers: one, or one for each way that Transformers 4 and 5 name it.
        count: the config's field for their number.
    """

    layers: tuple[str, ...]
    count: str = "num_hidden_layers"


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(("bert.encoder.layer",)),
    "deit": Architecture(("deit.encoder.layer", "deit.layers")),
    "distilbert": Architecture(("distilbert.transformer.layer",), count="n_layers"),
    "electra": Architecture(("electra.encoder.layer",)),
    "mpnet": Architecture(("mpnet.encoder.layer",)),
    "roberta": Architecture(("roberta.encoder.layer",)),
    "vit": Architecture(("vit.encoder.layer", "vit.layers")),
    "xlm-roberta": Architecture(("roberta.encoder.layer",)),
}
