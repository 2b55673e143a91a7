"""Folders of one machine, which nobody else has and nobody else should see: only their last name is published."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from hfcompress.recipe.yaml_text import read_yaml

#: Keys of recipes, of parts of recipes and of results under which a place may stand. Elsewhere a text that begins with
#: `/` is something else: nodes of a graph are called so, and so may a column be.
_PLACES = frozenset({"id", "path"})
#: Keys under which any text may be a place: arguments of a training.
_ARGUMENTS = frozenset({"training"})
#: Keys whose values may look like paths: nodes of a graph, names of classes, words of a vocabulary.
_OTHER_NAMES = frozenset(
    {
        "nodes_to_quantize",
        "nodes_to_exclude",
        "skip",
        "returned",
        "ranking",
        "id2label",
        "label2id",
        "labels",
        "vocab",
        "merges",
    }
    | {"added_tokens", "added_tokens_decoder"}
)
#: An absolute path of POSIX, with a folder in it, of a home, or of Windows.
_ABSOLUTE = re.compile(r"(/[^/\s][^/\n]*/[^/\n]|~[\w.-]*/[^/\n]|[A-Za-z]:[\\/]+[^\\/\n]|\\\\[^\\\s]+\\)")

#: The folders of an absolute path, of a home or of Windows; no part of a web address or of `and/or`.
_FOLDERS = re.compile(
    r"""(?:file://|(?<![\w.:/\\~-]))(?:~[\w.-]*[/\\]|[A-Za-z]:[\\/]|\\\\|/)(?:[^\s/\\'"`:,;()]+[/\\])*(?=[^\s/\\])"""
)


def without_local_paths(value: Any) -> Any:
    """Plain data in which every place that is an absolute path, or in a home folder, is its last name."""
    if isinstance(value, dict):
        return {key: _of_key(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_local_paths(item) for item in value]
    return value


def local_places(content: bytes, suffix: str) -> Iterator[str]:
    """Every value of a JSON or YAML text that is an absolute path; none of a text that cannot be read."""
    try:
        text = content.decode("utf-8")
        stack = [json.loads(text) if suffix == ".json" else read_yaml(text)]
    except (ValueError, RecursionError):  # NotPlainError is a ValueError
        return
    while stack:
        match stack.pop():
            case dict() as mapping:
                stack += [value for key, value in mapping.items() if key not in _OTHER_NAMES]
            case list() as values:
                stack += values
            case str() as value if _ABSOLUTE.match(value):
                yield value


def published_name(place: str) -> str:
    """A model, a dataset or a folder as others may know it: a relative path or a Hub id as it is."""
    windows = PureWindowsPath(place).is_absolute() and not place.startswith("/")
    if not windows and not place.startswith(("/", "~")):
        return place
    return (PureWindowsPath(place) if windows else PurePosixPath(place)).name or "folder"


def without_folders(text: str) -> str:
    """Words, of a library say, in which every absolute path is its last name; folders with spaces are cut in part."""
    return _FOLDERS.sub("", text)


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
