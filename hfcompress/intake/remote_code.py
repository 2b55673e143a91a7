"""Code that a model brings along: it runs only when the user says so, and only the code that they have read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hfcompress.errors import UnsafeError
from hfcompress.intake.json_text import read_mapping

#: A commit of a repository, and no branch or tag, which may name other code tomorrow.
_COMMIT = re.compile(r"[0-9a-f]{40}")


def code_of(folder: Path) -> tuple[str, ...]:
    """The classes of its own that a model folder names: `modeling_own.OwnModel`.

    Every config counts, that of the tokenizer, the image processor and the processor too: each loader obeys its own.

    Raises:
        UnsafeError: a config is no JSON, or too large.
    """
    configs = (read_mapping(path) for path in sorted(folder.glob("*config.json")))
    return tuple(dict.fromkeys(name for config in configs for name in _named(config)))


def check_code(folder: Path, *, trust_remote_code: bool) -> None:
    """Refuse code that the user has not allowed, and code from elsewhere in any case.

    Raises:
        UnsafeError: names the classes, and the way out.
    """
    code = code_of(folder)
    if code and not trust_remote_code:
        raise UnsafeError(
            f"{folder} asks to run its own code ({', '.join(code)}); read that code, and pass --trust-remote-code if "
            "you trust it"
        )
    elsewhere = [name for name in code if "--" in name]
    if elsewhere:
        raise UnsafeError(
            f"{folder} asks to run code of another repository ({', '.join(elsewhere)}), whose revision nothing pins; "
            "copy that code into the folder, and name it without `--` in `auto_map`"
        )


def check_pinned(model: str, revision: str | None, code: tuple[str, ...]) -> None:
    """Refuse code from the Hub unless the recipe pins the commit of it that was read.

    Args:
        model: the Hub id.
        revision: what the recipe says.
        code: the classes that the model brings along.

    Raises:
        UnsafeError: the revision is no commit.
    """
    if code and not (revision and _COMMIT.fullmatch(revision)):
        raise UnsafeError(
            f"{model} asks to run its own code ({', '.join(code)}), which --trust-remote-code allows for one commit "
            f"only, and its revision is {revision or 'not given'}; pin the commit whose code you have read: "
            f"model: {{id: {model}, revision: <40 hex digits>}}"
        )


def _named(config: Mapping[str, Any]) -> Iterator[str]:
    """What every `auto_map` says, those of configs inside a config too: a processor's holds its parts."""
    stack: list[Any] = [config]  # and no recursion: nesting is the file's own word
    while stack:
        part = stack.pop()
        if isinstance(part, Mapping):
            yield from _texts(part.get("auto_map"))
            stack += part.values()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)
