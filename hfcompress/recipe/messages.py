"""What pydantic finds wrong, in the words of a recipe."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import ValidationError

from hfcompress.recipe.faults import Fault, Loc, closest, did_you_mean, listed, show
from hfcompress.recipe.fields import is_training, keys_at, places_below
from hfcompress.recipe.schema import NAME_PATTERN, ModelRef
from hfcompress.recipe.training import use_instead

_KEY = "[key]"  # pydantic's mark for a fault of a mapping's key


def faults_of(error: ValidationError) -> list[Fault]:
    """Every fault in a pydantic error, one line each."""
    found = error.errors(include_url=False)
    # A misspelt key is one fault, not also the absence of the right one.
    meant = {(*e["loc"][:-1], closest(e["loc"][-1], keys_at(e["loc"][:-1]))) for e in found if _is_unknown_key(e)}
    return [_fault(e) for e in found if not (e["type"] == "missing" and e["loc"] in meant)]


def _is_unknown_key(error: Mapping[str, Any]) -> bool:
    return bool(error["type"] == "extra_forbidden")


def _fault(error: Mapping[str, Any]) -> Fault:
    loc: Loc = error["loc"]
    if loc and loc[-1] == _KEY:
        loc = loc[:-1]
        if error["type"] == "literal_error":  # a mapping whose keys are a closed set
            return Fault(loc, _unknown_key(loc))
    if _is_unknown_key(error):
        return Fault(loc, _unknown_key(loc))
    return Fault(loc, _what(error))


def _unknown_key(loc: Loc) -> str:
    parent, key = loc[:-1], str(loc[-1])
    if is_training(parent):
        return _unknown_training_key(parent, key)
    places = places_below(parent, key)
    if places:
        return f"unknown key here; it belongs inside {listed(places, 'or')}"
    return f"unknown key{did_you_mean(key, keys_at(parent))}"


def _unknown_training_key(parent: Loc, key: str) -> str:
    advice = use_instead(key)
    if advice is not None:  # without the value: one of these keys is a token
        return f"cannot be set here; {advice}"
    near = did_you_mean(key, keys_at(parent))
    return f"unknown key{near}" if near else f"unknown key; transformers {_transformers()} has no such argument"


@cache
def _transformers() -> str:
    return version("transformers")


def _what(error: Mapping[str, Any]) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "value_error":  # raised by a model of ours, which words it fully
        return str(context["error"])
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"])
        return f"should be one of {listed(options)}, got {show(value)}{_near(value, options)}"
    wording = _WORDINGS.get(kind)
    should = wording(context) if wording else _pydantic_words(error["msg"])
    return f"{should}, got {show(value)}{_way_out(kind, value)}"


def _near(value: Any, options: list[str]) -> str:
    near = closest(value, options)
    return f"; did you mean `{near}`?" if near else ""


def _pydantic_words(message: str) -> str:
    return re.sub(r"^(Input|Value|String|List|Tuple|Dictionary) should", "should", message)


def _way_out(kind: str, value: Any) -> str:
    if kind in ("string_type", "invalid_key") and isinstance(value, int | float):
        return "; put it in quotes"
    if kind in ("model_type", "dict_type") and value is None:
        return "; fill it in, or remove it"
    return ""


def _pattern(context: Mapping[str, Any]) -> str:
    if context["pattern"] == NAME_PATTERN:
        return "should be lower-case words joined by '-'"
    return f"should match {context['pattern']}"


def _mapping(context: Mapping[str, Any]) -> str:
    return (
        "should be a local folder or a Hub id"
        if context.get("class_name") == ModelRef.__name__
        else "should be a mapping"
    )


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


_Wording = Callable[[Mapping[str, Any]], str]
_WORDINGS: dict[str, _Wording] = {
    "string_pattern_mismatch": _pattern,
    "string_too_short": lambda _: "should not be empty",
    "string_too_long": lambda context: f"should be at most {context['max_length']} characters",
    "too_short": lambda context: f"should hold at least {_items(context['min_length'])}",
    "too_long": lambda context: f"should hold at most {_items(context['max_length'])}",
    "greater_than": lambda context: f"should be above {context['gt']:g}",
    "greater_than_equal": lambda context: f"should be at least {context['ge']:g}",
    "less_than": lambda context: f"should be below {context['lt']:,}",
    "less_than_equal": lambda context: f"should be at most {context['le']:g}",
    "finite_number": lambda _: "should be a finite number",
    "invalid_key": lambda _: "should have text for its key",
    **dict.fromkeys(("string_type",), lambda _: "should be text"),
    **dict.fromkeys(("bool_type", "bool_parsing"), lambda _: "should be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), lambda _: "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), lambda _: "should be a number"),
    **dict.fromkeys(("tuple_type", "list_type"), lambda _: "should be a list"),
    **dict.fromkeys(("model_type", "dict_type", "model_attributes_type"), _mapping),
}
