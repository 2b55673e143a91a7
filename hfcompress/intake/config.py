"""`config.json`, judged before a model is built from it: what it asks for, and what its weights can back."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hfcompress.errors import UnsafeError
from hfcompress.intake.json_text import read_mapping

#: Elements that a config may ask for beyond its weights: a new head, buffers, tables of positions, or a tower that this
#: checkpoint leaves out (the text tower of CLIP-L has 123 million).
_FREE = 150_000_000
#: Elements that a config may ask for, for each one of its weights: layers that share their weights (ALBERT has 12 of
#: one), and embeddings that are tied.
_SLACK = 32
_MOST_LAYERS, _MOST_LABELS, _MOST_WEIGHTS = 10_000, 1_000_000, 2**44
#: Pixels of an image, in the config of an image processor: 48 MB a row, as float32 of three channels.
_MOST_PIXELS = 2048 * 2048
#: Names of the width of a model; the greatest of them counts.
_WIDTHS = (
    "hidden_size",
    "hidden_sizes",
    "d_model",
    "dim",
    "n_embd",
    "emb_dim",
    "embed_dim",
    "embedding_size",
    "embed_dims",
)
#: The width of a model whose config says none: its family has one, which is not known here.
_USUAL_WIDTH = 768
_LAYERS = re.compile(
    r"(num_hidden_layers|num_layers|n_layers?|depths?|(en|de)coder_layers|num_encoder_blocks|\w+_depth)$"
)
#: Fields that become a dimension of a tensor in some family of models, by the end of their names.
_DIMENSION = re.compile(
    r"(sizes?|dims?|channels|heads|positions?|embeddings|buckets|labels|length|filters|width|n_inner|n_ctx|n_embd|d_model"
    r"|d_ff|d_kv|groups|experts|vocab|num_\w+)$"
)
#: Of those, what a model has once and not in every layer.
_TABLES = frozenset({"vocab_size", "num_labels"})
#: Fields that repeat what a layer holds, and so multiply: experts, groups of layers (ALBERT).
_REPEATS = (re.compile(r"\w*experts$"), re.compile(r"num_hidden_groups$"), re.compile(r"inner_group_num$"))
#: Fields whose product is one dimension.
_HEADS, _HEAD_SIZE = re.compile(r"\w*(num|n)_\w*heads?$"), re.compile(r"\w*(head_dim|head_size|d_kv)$")
_PATCH, _IMAGE, _CHANNELS = (re.compile(rf"\w*{name}$") for name in ("patch_sizes?", "image_size", "num_channels"))
#: Words of a config that make Transformers fetch a kernel from the Hub, and run it.
_KERNEL = re.compile(r"(attn|experts)_implementation")


def check_config(config: Mapping[str, Any], origin: str, elements: int | None = None) -> None:
    """Refuse a config that asks for code from the Hub, or for a model that its weights cannot back.

    Memory is taken for what a config says, before the weights are read: a vocabulary of a billion is a crash.

    Args:
        config: the content of `config.json`.
        origin: begins the errors.
        elements: of the weights; None where a model is not built from the config, and only its own bounds hold.

    Raises:
        UnsafeError: names the field, its value, and what there is.
    """
    most = _FREE + _SLACK * elements if elements is not None else _MOST_WEIGHTS
    for where, part in _parts(config, origin):
        _check_code(part, where)
        _check_labels(part, where)
        _check_sizes(part, where, most)


def check_image_processor(folder: Path) -> None:
    """Refuse a `preprocessor_config.json` with images of absurd sizes, to which every row would be brought.

    Raises:
        UnsafeError: names the field and its value.
    """
    path = folder / "preprocessor_config.json"
    config = read_mapping(path) if path.is_file() else {}
    for field in ("size", "crop_size", "pad_size"):
        asked = config.get(field)
        sides = _numbers(list(asked.values()) if isinstance(asked, Mapping) else asked)
        pixels = math.prod(sides) if len(sides) == 2 else max(sides, default=0) ** 2
        if pixels > _MOST_PIXELS:
            raise UnsafeError(f"{path}: `{field}` asks for images of {pixels} pixels; at most {_MOST_PIXELS} are read")


def _parts(config: Mapping[str, Any], where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A config and those inside it: of a text tower, of a vision tower. The text that was read bounds their depth."""
    yield where, config
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _parts(value, f"{where}: {name}")


def _check_code(config: Mapping[str, Any], where: str) -> None:
    for name, value in config.items():
        if not _KERNEL.search(name):
            continue
        asked = [value, *value.values()] if isinstance(value, Mapping) else [value]
        for kernel in asked:
            if isinstance(kernel, str) and "/" in kernel:
                raise UnsafeError(
                    f"{where}: `{name}` asks for the kernel {kernel!r} of the Hub, which is code; remove that line"
                )


def _check_labels(config: Mapping[str, Any], where: str) -> None:
    names = config.get("id2label")
    if names and not (isinstance(names, Mapping) and all(_is_number(key) for key in names)):
        raise UnsafeError(f"{where}: `id2label` should map whole numbers to names, got {str(names)[:80]}")
    for count in _numbers(config.get("num_labels")):
        if count > _MOST_LABELS:
            raise UnsafeError(f"{where}: `num_labels` is {count}; at most {_MOST_LABELS} are read")


def _check_sizes(config: Mapping[str, Any], where: str, most: int) -> None:
    layers = {name: sum(_numbers(value)) for name, value in config.items() if _LAYERS.search(name)}
    for name, count in layers.items():
        if count > _MOST_LAYERS:
            raise UnsafeError(f"{where}: `{name}` asks for {count} layers; no model has more than {_MOST_LAYERS}")
    width = max((size for name in _WIDTHS for size in _numbers(config.get(name))), default=_USUAL_WIDTH)
    depth = max(layers.values(), default=1) * math.prod(max(1, _largest(config, repeat)) for repeat in _REPEATS)
    asked = [
        (size * width * (1 if name in _TABLES else depth), name)
        for name, size in _dimensions(config, width)
        if name not in layers
    ]
    count, name = max(asked, key=lambda each: each[0])
    if count > most:
        raise UnsafeError(
            f"{where}: `{name}: {str(config.get(name, '...'))[:60]}` with a width of {width} and {depth} layers asks "
            f"for about {count:.1e} weights, and {most:.1e} are the most that what is in the folder can back; correct "
            "it, or get it again"
        )


def _dimensions(config: Mapping[str, Any], width: int) -> Iterator[tuple[str, int]]:
    """Everything that stands against the width of the model in a tensor of one layer, by the name of its field."""
    for name, value in config.items():
        if _DIMENSION.search(name):
            yield name, max(_numbers(value), default=0)
    yield "width", width
    patch, image = _largest(config, _PATCH), _largest(config, _IMAGE)
    yield "heads x head size", _largest(config, _HEADS) * _largest(config, _HEAD_SIZE)
    yield "patch x patch x channels", patch * patch * max(1, _largest(config, _CHANNELS))
    if patch:
        yield "patches of an image", (image // patch) ** 2


def _largest(config: Mapping[str, Any], names: re.Pattern[str]) -> int:
    return max((size for name in config if names.match(name) for size in _numbers(config[name])), default=0)


def _numbers(value: Any) -> list[int]:
    """The whole numbers in a field: its own, or those of a list."""
    values = value if isinstance(value, list) else [value]
    return [number for number in values if type(number) is int and number > 0]


def _is_number(key: Any) -> bool:
    return isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10
