"""Folders of one machine, which nobody else has and nobody else should see: only their last name is published."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

#: Keys of recipes, of parts of recipes and of results under which a place may stand. Elsewhere a text that begins with
#: `/` is something else: nodes of a graph are called so, and so may a column be.
_PLACES = frozenset({"id", "path"})
#: Keys under which any text may be a place: arguments of a training.
_ARGUMENTS = frozenset({"training"})


def without_local_paths(value: Any) -> Any:
    """Plain data in which every place that is an absolute path, or in a home folder, is its last name."""
    if isinstance(value, dict):
        return {key: _of_key(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_local_paths(item) for item in value]
    return value


def published_name(place: str) -> str:
    """A model, a dataset or a folder as others may know it: a relative path or a Hub id as it is."""
    windows = PureWindowsPath(place).is_absolute() and not place.startswith("/")
    if not windows and not place.startswith(("/", "~")):
        return place
    return (PureWindowsPath(place) if windows else PurePosixPath(place)).name or "folder"


def _of_key(key: str, item: Any) -> Any:
    if key in _ARGUMENTS:
        return _every_text(item)
    return published_name(item) if key in _PLACES and isinstance(item, str) else without_local_paths(item)


def _every_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _every_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_every_text(item) for item in value]
    return published_name(value) if isinstance(value, str) else value
