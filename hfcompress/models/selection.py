"""A model with fewer layers: the chosen ones of another, with everything around them unchanged.

What a layer computes may hang on its place: some families build their first layer, or every second one, differently. A
choice is sound when every chosen layer computes at its new place what it computed at its old one; any other is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from hfcompress.errors import InputError
from hfcompress.models.architectures import Architecture
from hfcompress.models.layers import architecture_of, layer_count, layer_paths

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def keep_layers(model: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """A new model that has only these encoder layers of `model`, in their order; `model` is left as it is.

    Args:
        model: a model of a family in `architectures.py`, with any head or none.
        layers: ascending indices into its encoder layers; in a family with stages into the blocks of all stages.

    Returns:
        A model of the same class, dtype and mode (training or eval) with `len(layers)` layers and a config that says
        so. Its weights are copies; those that were tied still are.

    Raises:
        InputError: an unknown family, an index out of range, or a choice that is not sound in this family.
    """
    student = type(model)(with_layers(model.config, layers)).to(model.dtype)
    take_out_(student, model)
    kept = [layer_paths(model)[index] for index in layers]
    renamed = dict(zip(kept, layer_paths(student), strict=True))
    student.load_state_dict(select_layers(model.state_dict(), layer_paths(model), renamed), strict=True)
    student.train(model.training)
    return student


def take_out_(student: PreTrainedModel, model: PreTrainedModel) -> None:
    """Take out of the student what `model` is without: a pooler that nobody reads."""
    for ours, theirs in ((student, model), (student.base_model, model.base_model)):
        for name, _ in list(ours.named_children()):
            if getattr(theirs, name, None) is None:
                setattr(ours, name, None)


def select_layers(
    weights: Mapping[str, torch.Tensor], paths: Sequence[str], renamed: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """The state dict of the smaller model.

    Args:
        weights: the state dict of the larger one.
        paths: the path of each of its layers.
        renamed: path of each layer that is kept -> its path in the smaller model.
    """
    selected: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        layer = next((path for path in paths if name.startswith(f"{path}.")), None)
        if layer is None:
            selected[name] = tensor
        elif layer in renamed:
            selected[renamed[layer] + name.removeprefix(layer)] = tensor
    return selected


def with_layers(config: Any, layers: Sequence[int]) -> Any:
    """A copy of a model's config that says that only these of its layers are there.

    Raises:
        InputError: as `keep_layers`.
    """
    architecture = architecture_of(config.model_type)
    if architecture.place == "weights":
        raise InputError(
            f"keep_layers makes no sense for {config.model_type}: its {layer_count(config)} layers are one set of "
            "weights that is applied several times; name another checkpoint (`student: {model: ...}`) or a config "
            f"(`student: {{config: {{{architecture.count}: ...}}}}`)"
        )
    _check_indices(layer_count(config), layers)
    smaller = copy.deepcopy(config)
    if architecture.blocks is not None:
        setattr(smaller, architecture.count, _depths_left(config, architecture, layers))
        return smaller
    setattr(smaller, architecture.count, len(layers))
    _renumber_(smaller, layers)
    if architecture.place == "first":
        _keep_attention_kinds_(smaller, config, layers)
    return smaller


def _check_indices(count: int, layers: Sequence[int]) -> None:
    if not layers:
        raise InputError(f"keep_layers is empty; name some of the layers 0 to {count - 1}")
    beyond = [index for index in layers if not 0 <= index < count]
    if beyond:
        raise InputError(
            f"keep_layers asks for layer {beyond[0]}, but the model has {count} layers (0 to {count - 1}); "
            "choose among those"
        )
    if any(second <= first for first, second in pairwise(layers)):
        raise InputError(f"keep_layers should ascend without repetition, got {list(layers)}")


def _renumber_(config: Any, layers: Sequence[int]) -> None:
    """Let fields of the config that speak of layers by index speak of those that are left."""
    pruned = getattr(config, "pruned_heads", None) or {}
    if pruned:
        config.pruned_heads = {new: pruned[old] for new, old in enumerate(layers) if old in pruned}
    if getattr(config, "stage_names", None) is not None:  # what a backbone of this family could give out
        config.stage_names = ["stem", *(f"stage{index}" for index in range(1, len(layers) + 1))]
        config.out_features = None


def _depths_left(config: Any, architecture: Architecture, layers: Sequence[int]) -> list[int]:
    """How many blocks are left of each stage."""
    depths = list(getattr(config, architecture.count))
    starts = [0, *accumulate(depths)]
    stages = [[index - start for index in layers if start <= index < end] for start, end in pairwise(starts)]
    for stage, (start, blocks) in enumerate(zip(starts, stages, strict=False)):
        named = f"stage {stage} (blocks {start} to {start + depths[stage] - 1})"
        if not blocks:
            raise InputError(f"keep_layers leaves no block of {named}; keep at least one of each stage")
        if architecture.place == "shortcut" and blocks[0] != 0:
            raise InputError(
                f"keep_layers leaves out block {start}, the first of {named}, which changes width and resolution for "
                f"the others; add {start}"
            )
        if architecture.place == "shift":
            _check_shifts(blocks, start, named)
    return [len(blocks) for blocks in stages]


def _check_shifts(blocks: Sequence[int], start: int, named: str) -> None:
    """Swin shifts the windows of blocks 1, 3, ... of a stage, by their index."""
    for place, block in enumerate(blocks):
        if block % 2 != place % 2:
            kinds = ("shifted", "unshifted") if block % 2 else ("unshifted", "shifted")
            raise InputError(
                f"keep_layers makes block {start + block} of {named} its number {place}, but it attends within "
                f"{kinds[0]} windows, and the model would give it {kinds[1]} ones; keep blocks in pairs, such as "
                f"{start} and {start + 1}"
            )


def _keep_attention_kinds_(smaller: Any, config: Any, layers: Sequence[int]) -> None:
    """Let each layer of a ModernBERT that is left attend as before: globally or locally.

    Transformers 5 has a list of kinds (`layer_types`); 4 has one number, n: layers 0, n, 2n, ... attend globally.
    """
    if layers[0] != 0:
        raise InputError(
            f"keep_layers leaves out layer 0 of {config.model_type}, which alone is built without a norm in front of "
            "its attention; add 0"
        )
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        smaller.layer_types = [kinds[index] for index in layers]
        return
    every = config.global_attn_every_n_layers
    wanted = [index % every == 0 for index in layers]
    for n in (every, *range(1, len(layers) + 1)):
        if wanted == [index % n == 0 for index in range(len(layers))]:
            smaller.global_attn_every_n_layers = n
            return
    raise InputError(
        f"keep_layers keeps layers of {config.model_type} that attend {_listed(wanted)}, which its config cannot say: "
        f"layers 0, n, 2n, ... attend globally, for one number n (here {every}); keep as many of each group of {every} "
        f"(0 to {every - 1}, {every} to {2 * every - 1}, ...), its first among them"
    )


def _listed(kinds: Sequence[bool]) -> str:
    return ", ".join("globally" if everywhere else "locally" for everywhere in kinds)
