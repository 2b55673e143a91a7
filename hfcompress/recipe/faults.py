"""Faults of a recipe, and how they are worded: `path.to.field: what, got value; did you mean \\`x\\`?`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfcompress.credentials import hide_credentials
from hfcompress.errors import RecipeError

Loc = tuple[str | int, ...]

_LONGEST_VALUE = 80
_MOST_LISTED = 12


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: where, and what with the way out."""

    loc: Loc
    what: str

    def __str__(self) -> str:
        return f"{path_of(self.loc)}: {self.what}" if self.loc else self.what


def recipe_error(origin: str, faults: Sequence[Fault], raw: Any = None) -> RecipeError:
    """One error that names every fault, in the order of the file when `raw` is given."""
    ordered = sorted(faults, key=lambda fault: _place(raw, fault.loc)) if raw is not None else faults
    lines = dict.fromkeys(str(fault) for fault in ordered)  # two passes may find the same fault
    return RecipeError("\n  ".join(printable(line) for line in [f"{origin} is not a valid recipe:", *lines]))


def path_of(loc: Loc) -> str:
    """A place in a recipe as people write it and as `--set` takes it: `gates.0.artifact`."""
    return ".".join(_shorten(str(part)) for part in loc)


def show(value: Any) -> str:
    """A value as an error prints it: one short line in YAML's words, without tokens."""
    if isinstance(value, bool | None):
        return json.dumps(value)
    if isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {show(item)}" for key, item in list(value.items())[:_MOST_LISTED]) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(show(item) for item in value[:_MOST_LISTED]) + "]"
    else:
        text = hide_credentials(repr(value))
    return _shorten(text)


def did_you_mean(word: Any, options: Iterable[str]) -> str:
    """`; did you mean ...?` when an option is close, the options when they are few, and nothing otherwise."""
    known = list(dict.fromkeys(options))
    near = closest(word, known)
    if near is not None:
        return f"; did you mean `{near}`?"
    return f"; choose from {listed(known)}" if 0 < len(known) <= _MOST_LISTED else ""


def closest(word: Any, options: Iterable[str]) -> str | None:
    """The option that a misspelt word most likely stands for."""
    lowered = {option.lower(): option for option in options}
    near = difflib.get_close_matches(str(word).lower(), lowered, n=1) if len(str(word)) <= _LONGEST_VALUE else []
    return lowered[near[0]] if near else None


def listed(names: Iterable[str], last: str = "") -> str:
    """Names in backticks: `a`, `b`, `c`; with a word before the last one: `a`, `b` or `c`."""
    quoted = [f"`{name}`" for name in names]
    if not last or len(quoted) < 2:
        return ", ".join(quoted)
    return f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def printable(line: str) -> str:
    """One line for a terminal: without access tokens, and with control characters escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in hide_credentials(line))


def _shorten(text: str) -> str:
    # Hiding comes first: half a token would no longer look like one.
    text = hide_credentials(text)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def _place(raw: Any, loc: Loc) -> tuple[float, ...]:
    place: list[float] = []
    for part in loc:
        if isinstance(raw, Mapping) and part in raw:
            place.append(list(raw).index(part))
            raw = raw[part]
        elif isinstance(raw, list) and isinstance(part, int) and part < len(raw):
            place.append(part)
            raw = raw[part]
        else:  # what is missing has no place: after what is there
            return (*place, float("inf"))
    return tuple(place)
