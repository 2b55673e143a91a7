"""A model with fewer layers: the chosen ones of another, with everything around them unchanged."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hfcompress.errors import InputError
from hfcompress.models.architectures import ARCHITECTURES, Architecture

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def architecture_of(model_type: str) -> Architecture:
    """The entry of a family.

    Raises:
        InputError: the family has none; says how to add it.
    """
    architecture = ARCHITECTURES.get(model_type)
    if architecture is None:
        raise InputError(
            f"hfcompress does not know where the family {model_type!r} keeps its layers; it knows "
            f"{', '.join(sorted(ARCHITECTURES))}; add an entry to hfcompress/models/architectures.py"
        )
    return architecture


def check_layers(config: Any, layers: Sequence[int]) -> None:
    """Refuse an index that the model does not have.

    Raises:
        InputError: with the index and the range.
    """
    count = getattr(config, architecture_of(config.model_type).count)
    beyond = [index for index in layers if not 0 <= index < count]
    if beyond:
        raise InputError(
            f"keep_layers asks for layer {beyond[0]}, but the model has {count} layers (0 to {count - 1}); "
            "choose among those"
        )


def keep_layers(model: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """A new model that has only these encoder layers of `model`, in this order; `model` is left as it is.

    Args:
        model: a model of a family in `architectures.py`.
        layers: indices into its encoder layers.

    Returns:
        A model of the same class and mode (training or eval) with `len(layers)` layers and a config that says so. Its
        weights are copies.

    Raises:
        InputError: an unknown family, or an index out of range.
    """
    check_layers(model.config, layers)
    architecture = architecture_of(model.config.model_type)
    config = copy.deepcopy(model.config)
    setattr(config, architecture.count, len(layers))
    student = type(model)(config)
    weights = select_layers(model.state_dict(), stem_of(model, architecture), layers)
    student.load_state_dict(weights, strict=True)
    student.train(model.training)
    return student


def layer_count(config: Any) -> int:
    """How many encoder layers a model has."""
    return int(getattr(config, architecture_of(config.model_type).count))


def widths(config: Any) -> tuple[int, int]:
    """Hidden size and number of attention heads."""
    architecture = architecture_of(config.model_type)
    return int(getattr(config, architecture.width)), int(getattr(config, architecture.heads))


def layers_of(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The encoder layers, in order."""
    return list(model.get_submodule(stem_of(model, architecture_of(model.config.model_type))).children())


def projections_of(model: PreTrainedModel, layer: int) -> tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module]:
    """The modules that give the queries, keys and values of a layer.

    Raises:
        InputError: the family is unknown, or computes the three in one.
    """
    paths = architecture_of(model.config.model_type).projections
    if paths is None:
        raise InputError(
            f"{model.config.model_type} has no query, key and value projections of their own, which `relations` and "
            "`attention` compare; use `hidden`"
        )
    query, key, value = (layers_of(model)[layer].get_submodule(path) for path in paths)
    return query, key, value


def stem_of(model: PreTrainedModel, architecture: Architecture) -> str:
    """The dotted path of the layers in this model, which has no `bert.` in front when it is a bare encoder."""
    names = {name for name, _ in model.named_modules()}
    for path in architecture.layers:
        for candidate in (path, path.split(".", 1)[1]):
            if f"{candidate}.0" in names:
                return candidate
    raise InputError(
        f"{type(model).__name__} has no layers at {' or '.join(architecture.layers)}; correct its entry in "
        "hfcompress/models/architectures.py"
    )


def select_layers(weights: Mapping[str, torch.Tensor], stem: str, layers: Sequence[int]) -> dict[str, torch.Tensor]:
    """The state dict of the smaller model: layer `layers[i]` under the name of layer i, all else as it is."""
    place = {old: new for new, old in enumerate(layers)}
    selected: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        if not name.startswith(f"{stem}."):
            selected[name] = tensor
            continue
        index, _, rest = name.removeprefix(f"{stem}.").partition(".")
        if int(index) in place:
            selected[f"{stem}.{place[int(index)]}.{rest}"] = tensor
    return selected
