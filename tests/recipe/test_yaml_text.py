from __future__ import annotations

from itertools import pairwise

import pytest

from hfcompress.recipe.yaml_text import NotPlainError, plain, read_yaml, write_yaml


@pytest.mark.parametrize(
    "text, value",
    [("1e-5", 1e-5), ("1e5", 1e5), ("no", "no"), ("on", "on"), ("010", 10), ("true", True), ("~", None)],
)
def test_scalars_are_yaml_1_2(text: str, value: object) -> None:
    assert read_yaml(text) == value
    assert type(read_yaml(text)) is type(value)


@pytest.mark.parametrize("text", ["2024-01-01", "2024-99-99", "2024-01-01 10:00:00"])
def test_dates_stay_text(text: str) -> None:
    assert read_yaml(text) == text
    assert read_yaml(write_yaml({"a": text})) == {"a": text}


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: 1\na: 2", 'line 2, column 1: found duplicate key "a"$'),
        ("a: &x [*x]", "alias"),
        ("a: &a [x, x]\n" + "".join(f"{b}: &{b} [{f'*{a}, ' * 9}]\n" for a, b in pairwise("abcdefg")), "alias"),
        ("a: &a {x: 1}\nb: {<<: *a}", r"line 2, column 5: merge keys \(<<\) are no YAML 1\.2"),
        ("a: " + "x" * 1_000_000, "has 1000003 characters"),
        ("[" * 500, "deeper than 40 levels"),
        ("[" * 60 + "]" * 60, "deeper than 40 levels"),
        ("a: !!python/object:os.system {}", "line 1, column 4: could not determine a constructor"),
        ("a: !!set {b}", "holds a set"),
        ("a: !!binary aGk=", "holds a bytes"),
        ("1: x", "the key 1 is no text; put it in quotes"),
        ("a: 1\n---\nb: 1", "line 2, column 1: but found another document|expected a single document"),
        ("a: *x", "undefined alias"),
        ("a: \x01", "unacceptable character"),
        ("%YAML 1.1\n---\na: no", "another YAML than 1.2"),
    ],
)
def test_what_a_recipe_cannot_hold_is_refused(text: str, message: str) -> None:
    with pytest.raises(NotPlainError, match=message):
        read_yaml(text)


def test_an_error_shows_no_values() -> None:
    token = "hf_" + "a" * 34
    with pytest.raises(NotPlainError) as caught:
        read_yaml(f"a: {token}\na: {token}")
    assert token not in str(caught.value)


def test_aliases_become_copies() -> None:
    data = read_yaml("a: &x {b: 1}\nc: *x")
    data["a"]["b"] = 2
    assert data["c"] == {"b": 1}


def test_plain_takes_tuples_for_lists_and_nothing_foreign() -> None:
    assert plain({"a": (1, 2)}) == {"a": [1, 2]}
    with pytest.raises(NotPlainError, match="holds a object"):
        plain({"a": object()})
