"""YAML 1.2 in and out, as plain data: text, numbers, booleans, null, lists and mappings, and nothing shared."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.representer import SafeRepresenter

_DEEPEST = 40
_MOST_VALUES = 50_000
_LONGEST_TEXT = 1_000_000


class NotPlainError(ValueError):
    """The text is no YAML 1.2, or holds something that a recipe cannot; the message says where."""


class _Composer(Composer):
    """Stops where a text nests too deeply, and not where Python's stack ends: that takes seconds."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node, with those inside it."""
        self.depth += 1
        if self.depth > _DEEPEST + 1:
            raise NotPlainError(f"it nests deeper than {_DEEPEST} levels")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Constructor(SafeConstructor):
    """Dates stay the text that they are written as: YAML 1.2 has no dates, and a recipe may well be named after one.

    It has no merge keys either, and some lines of them unfold to billions of pairs while the text is read.
    """

    def flatten_mapping(self, node: Any) -> None:
        """Refuse `<<`, which ruamel.yaml takes over from YAML 1.1."""
        for key, _value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                mark = key.start_mark
                raise ConstructorError(None, None, "merge keys (<<) are no YAML 1.2; write the keys out", mark)
        super().flatten_mapping(node)


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def read_yaml(text: str) -> Any:
    """The plain data in one YAML document.

    Raises:
        NotPlainError: no YAML, a duplicate key, a tag, or an alias that holds itself or unfolds without end.
    """
    if len(text) > _LONGEST_TEXT:
        raise NotPlainError(f"it has {len(text)} characters, and {_LONGEST_TEXT} are read at most")
    if re.search(r"^%YAML\s+(?!1\.2\b)", text, re.MULTILINE):
        raise NotPlainError("it asks for another YAML than 1.2; remove the %YAML line")
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.Constructor = _Composer, _Constructor
    try:
        return plain(yaml.load(text))
    except MarkedYAMLError as error:
        raise NotPlainError(_first_cause(error)) from None  # the cause shows values, which may be tokens
    except (YAMLError, ValueError) as error:
        raise NotPlainError(" ".join(str(error).split())) from None
    except RecursionError:
        raise NotPlainError(f"it nests deeper than {_DEEPEST} levels") from None


class _Representer(SafeRepresenter):
    """Text with a line break of Unicode is quoted with escapes: in any other style it would be read as a space."""


def _quoted(representer: Any, text: str) -> Any:
    style = '"' if re.search("[\x85\u2028\u2029]", text) else None
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Representer.add_representer(str, _quoted)


def write_yaml(data: Any) -> str:
    """Block-style YAML 1.2 of plain data, in the order given."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel.yaml annotates it as None
    yaml.allow_unicode = True
    yaml.width = 4096
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def plain(value: Any) -> Any:
    """A copy of plain data in which nothing is shared, so that a change in one place is not a change in another.

    Raises:
        NotPlainError: a value of another type, or more of them than any recipe needs.
    """
    return _Copy().of(value, depth=0)


class _Copy:
    def __init__(self) -> None:
        self.values = 0

    def of(self, value: Any, depth: int) -> Any:
        self.values += 1
        if depth > _DEEPEST or self.values > _MOST_VALUES:
            raise NotPlainError(
                f"it unfolds to more than {_MOST_VALUES} values or nests deeper than {_DEEPEST} levels; "
                "look for an alias (*name) that holds itself"
            )
        if isinstance(value, Mapping):
            return {_key(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item, depth + 1) for item in value]
        if value is None or isinstance(value, str | int | float):
            return value
        raise NotPlainError(f"it holds a {type(value).__name__}; a recipe holds text, numbers, lists and mappings")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    raise NotPlainError(f"the key {key!r} is no text; put it in quotes")


def _first_cause(error: MarkedYAMLError) -> str:
    """`line 3, column 1: found duplicate key "a"`; the values that ruamel.yaml quotes are left out."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = str(error.problem or error.context).splitlines()[0]
    return where + re.sub(r" with value .*", "", problem)
