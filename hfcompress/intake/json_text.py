"""JSON from outside: of bounded size and depth, a mapping, without a key that is there twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hfcompress.errors import UnsafeError

#: The largest config, manifest or index that is read, in bytes; names of 100,000 classes take 4 MB.
LARGEST_FILE = 16_000_000


def read_mapping(path: Path, largest: int = LARGEST_FILE) -> dict[str, Any]:
    """The mapping in a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        UnsafeError: it is larger than `largest` bytes, nests without end, or is no JSON mapping.
    """
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise UnsafeError(f"{path} is larger than {largest / 1e6:g} MB, so it is not what its name says; get it again")
    return parse_mapping(content, str(path))


def parse_mapping(content: bytes, origin: str) -> dict[str, Any]:
    """The mapping in JSON text; `origin` begins the errors.

    Raises:
        UnsafeError: as `read_mapping`.
    """
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = "nests too deeply" if isinstance(error, RecursionError) else str(error)
        raise UnsafeError(f"{origin} is no JSON: {reason}") from None
    if not isinstance(found, dict):
        raise UnsafeError(f"{origin} should hold a mapping, got {type(found).__name__}")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers may each take another one of two values.
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)[:80]!r} is there twice")
    return found
