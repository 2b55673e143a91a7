"""`--set a.b.c=value`: changes to a recipe before it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfcompress.recipe.faults import Fault, did_you_mean, path_of, show
from hfcompress.recipe.yaml_text import NotPlainError, read_yaml


def apply_overrides_(raw: dict[str, Any], overrides: Sequence[str]) -> list[Fault]:
    """Apply each `path.to.field=value` to the raw mapping, in order; returns those that cannot be applied."""
    return [Fault((), f"--set {what}") for what in (_apply_(raw, text) for text in overrides) if what is not None]


def override_paths(overrides: Sequence[str]) -> str:
    """The fields that overrides change, without their values."""
    return ", ".join(text.partition("=")[0].strip() for text in overrides)


def _apply_(raw: dict[str, Any], text: str) -> str | None:
    path, sign, value_text = text.partition("=")
    parts = path.strip().split(".")
    if not sign or not all(parts):
        return f"takes path.to.field=value, got {show(text)}"
    try:
        value = read_yaml(value_text)
    except NotPlainError as error:
        return f"{path}: the value is not valid YAML: {error}"
    return _new_stage(raw, parts) or _put_(raw, parts, value)


def _new_stage(raw: dict[str, Any], parts: list[str]) -> str | None:
    """A misspelt stage would otherwise become a new one, with one field set and all others at their defaults."""
    stages = raw.get("stages")
    if len(parts) < 3 or parts[0] != "stages" or not isinstance(stages, dict) or parts[1] in stages:
        return None
    return f"{'.'.join(parts)}: there is no stage `{parts[1]}`{did_you_mean(parts[1], stages)}"


def _put_(raw: dict[str, Any], parts: list[str], value: Any) -> str | None:
    place: Any = raw
    for depth, part in enumerate(parts):
        here = path_of(tuple(parts[:depth])) or "the recipe"
        last = depth == len(parts) - 1
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                return f"{'.'.join(parts)}: {here} is a list of {len(place)}, and `{part}` is none of its places"
            key: Any = int(part)
        elif isinstance(place, dict):
            key = part
        else:
            return f"{'.'.join(parts)}: {here} is {show(place)} and holds no fields; set {here} as a whole"
        if last:
            place[key] = value
        elif isinstance(place, dict) and place.get(key) is None:
            place[key] = {}
        place = place[key]
    return None
