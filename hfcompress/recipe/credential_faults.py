"""Credentials have no place in a recipe: it is copied into the run folder, the manifests and the repository."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hfcompress.credentials import hide_credentials
from hfcompress.recipe.faults import Fault, Loc


def credential_faults(raw: Any, loc: Loc = ()) -> Iterator[Fault]:
    """A fault for every key and value of plain data that looks like a token, a key or a password."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield from _fault(key, (*loc, key))
            yield from credential_faults(value, (*loc, key))
    elif isinstance(raw, list):
        for place, value in enumerate(raw):
            yield from credential_faults(value, (*loc, place))
    elif isinstance(raw, str):
        yield from _fault(raw, loc)


def _fault(text: str, loc: Loc) -> Iterator[Fault]:
    if hide_credentials(text) != text:
        yield Fault(loc, "holds a credential, which a recipe must not; log in with `hf auth login`, or set HF_TOKEN")
