"""What the card of a base model says of license and languages. Its text is somebody else's: little of it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hfcompress.recipe.yaml_text import NotPlainError, read_yaml

#: Bytes of a README.md that are read, and of one block of its front matter, and the brackets of such a block. Cards of
#: benchmarked models hold megabytes of results, and no license nests.
_MOST_READ, _MOST_PARSED, _MOST_BRACKETS = 8_000_000, 10_000, 20
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_KEY = re.compile(r"([A-Za-z_][\w-]*):")
_WANTED = frozenset({"license", "license_name", "license_link", "language", "base_model"})


class BaseCard(NamedTuple):
    """What `SourceModel` has of the same name."""

    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    languages: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()


def read_base_card(folder: Path) -> BaseCard:
    """The front matter of README.md in a model folder; nothing where it is missing or cannot be read."""
    try:
        with (folder / "README.md").open("rb") as file:
            text = file.read(_MOST_READ).decode("utf-8", errors="replace")
    except OSError:
        return BaseCard()
    found = _FRONT_MATTER.match(text)
    said = dict(_said(found[1])) if found else {}
    licenses = _words(said.get("license"))
    return BaseCard(
        license=licenses[0] if len(licenses) == 1 else None,  # of several nobody knows which one holds for what
        license_name=_word(said.get("license_name")),
        license_link=_word(said.get("license_link")),
        languages=_words(said.get("language")),
        base_models=_words(said.get("base_model")),
    )


def _said(front_matter: str) -> Iterator[tuple[str, Any]]:
    """The wanted keys with their values, each parsed by itself: a fault elsewhere does not matter."""
    for block in _blocks(front_matter.splitlines()):
        key = _KEY.match(block)
        if key is None or key[1] not in _WANTED or len(block) > _MOST_PARSED:
            continue
        if block.count("[") + block.count("{") > _MOST_BRACKETS:
            continue
        try:
            parsed = read_yaml(block)
        except NotPlainError:
            continue
        if isinstance(parsed, dict):
            yield from parsed.items()


def _blocks(lines: list[str]) -> Iterator[str]:
    """A key of the first level and the lines that belong to it."""
    block: list[str] = []
    for line in lines:
        if _KEY.match(line) and block:
            yield "\n".join(block)
            block = []
        block.append(line)
    yield "\n".join(block)


def _words(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(word for item in values if (word := _word(item)) is not None)


def _word(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) and 0 < len(value.strip()) <= 200 else None
