"""The encoder layers of a model, whatever its family and its head."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from hfcompress.errors import InputError
from hfcompress.models.architectures import ARCHITECTURES, Architecture

if TYPE_CHECKING:
    from torch import nn
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
            f"{', '.join(sorted(ARCHITECTURES))}; add an entry to hfcompress/models/architectures.py, which is where "
            "its layers are and the names of four fields of its config; `relations` also takes the names of its "
            "projections in the recipe (`student_projections`, `teacher_projections`)"
        )
    return architecture


def layer_count(config: Any) -> int:
    """How many encoder layers a model of this config has; blocks of all stages where it has stages.

    Raises:
        InputError: an unknown family.
    """
    architecture = architecture_of(config.model_type)
    found = getattr(config, architecture.count)
    return int(found) if architecture.blocks is None else sum(found)


def widths(config: Any) -> tuple[int, int]:
    """Hidden size and number of attention heads.

    Raises:
        InputError: an unknown family, or one whose stages have widths of their own.
    """
    architecture = architecture_of(config.model_type)
    if architecture.blocks is not None:
        raise InputError(
            f"{config.model_type} has another width in each stage, so it has no one width and number of attention "
            "heads, which `relations` and `attention` compare; use `hidden`, which compares stages"
        )
    return int(getattr(config, architecture.width)), int(getattr(config, architecture.heads))


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The encoder layers in order; the blocks of all stages where it has stages.

    Raises:
        InputError: an unknown family, or one whose layers are one set of weights.
    """
    return [model.get_submodule(path) for path in layer_paths(model)]


def projections_of(model: PreTrainedModel, layer: int | tuple[str, str, str]) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The modules that give the queries, keys and values of a layer, each `[N, T, width]`.

    Args:
        model: a model; of a family in `architectures.py` when a layer is given.
        layer: an index into its encoder layers; or the dotted paths of the three modules, for any family.

    Raises:
        InputError: an unknown family, one without projections of their own, or a layer or module that it does not have.
    """
    if isinstance(layer, tuple):
        return _module(model, layer[0]), _module(model, layer[1]), _module(model, layer[2])
    architecture = architecture_of(model.config.model_type)
    if not architecture.projections:
        raise InputError(
            f"{model.config.model_type} has no query, key and value projections that `relations` and `attention` could "
            f"compare: {architecture.no_projections}; use `hidden`, or a teacher and a student of another family"
        )
    layers = layers_of(model)
    if not 0 <= layer < len(layers):
        raise InputError(f"layer {layer} is asked for, but the model has {len(layers)} (0 to {len(layers) - 1})")
    modules = dict(layers[layer].named_modules())
    for query, key, value in architecture.projections:
        if query in modules:
            return modules[query], modules[key], modules[value]
    raise _wrong_entry(model, "projections", [query for query, _, _ in architecture.projections])


def _module(model: PreTrainedModel, path: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if path not in modules:
        near = get_close_matches(path, modules, n=3, cutoff=0.3)
        raise InputError(
            f"{type(model).__name__} has no module {path!r}; names are those of `model.named_modules()`"
            + (f", such as {', '.join(near)}" if near else "")
        )
    return modules[path]


def layer_paths(model: PreTrainedModel) -> list[str]:
    """The dotted path of each encoder layer in the model.

    Raises:
        InputError: an unknown family, or one whose layers are one set of weights.
    """
    architecture = architecture_of(model.config.model_type)
    if architecture.place == "weights":
        raise InputError(
            f"the layers of {model.config.model_type} are one set of weights that is applied several times, so none of "
            "them can be taken alone"
        )
    stem = _stem(model, architecture)
    paths = [f"{stem}.{name}" for name, _ in model.get_submodule(stem).named_children()]
    if architecture.blocks is None:
        return paths
    lists = [f"{path}.{architecture.blocks}" for path in paths]
    return [f"{path}.{name}" for path in lists for name, _ in model.get_submodule(path).named_children()]


def _stem(model: PreTrainedModel, architecture: Architecture) -> str:
    """The dotted path of the list of layers or stages, which has no `bert.` in front when it is a bare encoder."""
    encoder = model.base_model
    prefix = "" if encoder is model else f"{model.base_model_prefix}."
    modules = dict(encoder.named_modules())
    for path in architecture.layers:
        if path in modules:
            return prefix + path
    raise _wrong_entry(model, "layers", architecture.layers)


def _wrong_entry(model: PreTrainedModel, what: str, paths: Any) -> InputError:
    return InputError(
        f"{type(model).__name__} has no {what} at {' or '.join(paths)}; correct the entry {model.config.model_type!r} "
        "in hfcompress/models/architectures.py"
    )
