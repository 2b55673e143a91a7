"""Which keys a place in a recipe may hold, read from the models' own annotations."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import is_typeddict

from hfcompress.recipe.faults import Loc
from hfcompress.recipe.recipe import Recipe
from hfcompress.recipe.training import Training


def keys_at(loc: Loc) -> tuple[str, ...]:
    """The keys that the mapping at `loc` may hold; none when it is no mapping, or one of free names."""
    return tuple(_fields(_type_at(loc)))


def is_training(loc: Loc) -> bool:
    """Whether the mapping at `loc` is a `training:` block."""
    return _type_at(loc) is Training


def places_below(loc: Loc, key: str) -> tuple[str, ...]:
    """The fields of the mapping at `loc` whose own fields hold `key`: where a key one level too high belongs."""
    return tuple(field for field in keys_at(loc) if key in keys_at((*loc, field)))


def _type_at(loc: Loc) -> Any:
    kind: Any = Recipe
    for part in loc:
        kind = _bare(_step(kind, part))
    return kind


def _step(kind: Any, part: str | int) -> Any:
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    if get_origin(kind) in (tuple, list):
        return get_args(kind)[0]
    return _fields(kind).get(str(part))


def _fields(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    if is_typeddict(kind):
        return dict(kind.__annotations__)
    if get_origin(kind) is dict and get_origin(get_args(kind)[0]) is Literal:
        return dict.fromkeys(get_args(get_args(kind)[0]), get_args(kind)[1])
    return {}


def _bare(kind: Any) -> Any:
    """The type without its metadata and without None; of a union, the first member that holds keys or items."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        members = [_bare(member) for member in get_args(kind)]
        return next(_structured(members), None)
    return kind


def _structured(members: list[Any]) -> Iterator[Any]:
    return (member for member in members if _fields(member) or get_origin(member) in (dict, tuple, list))
