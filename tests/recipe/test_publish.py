"""The `publish` block."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from hfcompress.errors import RecipeError
from hfcompress.recipe import dump_recipe, parse_recipe
from hfcompress.recipe.publish import repo_id_fault, revision_fault

RECIPE: dict[str, Any] = {
    "name": "x",
    "task": "text-classification",
    "model": "someone/base",
    "data": {"path": "someone/reviews"},
    "stages": {"teacher": {"finetune": {}}, "student": {"distill": {}}},
}


def test_it_says_where_to_and_what() -> None:
    recipe = parse_recipe({**RECIPE, "publish": {"repo_id": "me/x", "private": True, "artifacts": ["student"]}})
    assert recipe.publish is not None
    assert (recipe.publish.repo_id, recipe.publish.private, recipe.publish.artifacts) == ("me/x", True, ("student",))
    assert (recipe.publish.create_pr, recipe.publish.revision, recipe.publish.examples) == (False, "main", False)
    assert parse_recipe(dump_recipe(recipe)) == recipe
    assert parse_recipe(RECIPE).publish is None


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({}, "publish.repo_id: is missing"),
        ({"repo_id": "a/b/c"}, "publish.repo_id: should be `namespace/name` or `name`"),
        ({"repo_id": "a/b--c"}, "publish.repo_id: should hold neither"),
        ({"repo_id": "a/b", "artifacts": ["studnet"]}, "publish.artifacts.0: .*did you mean `student`"),
        ({"repo_id": "a/b", "artifacts": ["source"]}, "publish.artifacts.0: `source` is what the recipe starts from"),
        ({"repo_id": "a/b", "create_pr": True, "revision": "v1"}, "publish: create_pr proposes to main"),
        ({"repo_id": "a/b", "revision": "a b"}, "publish.revision: should be a branch"),
        ({"repo_id": "a/b", "token": "hf_notatokenbutlikeone"}, "publish.token: unknown key"),
        ({"repo_id": "a/b", "HF_ENDPOINT": "http://x"}, "publish.HF_ENDPOINT: unknown key"),
        ({"repo_id": "a/b", "endpoint": "http://x"}, "publish.endpoint: unknown key"),
    ],
)
def test_what_cannot_be_is_refused_and_a_token_is_no_part_of_it(block: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said) as refused:
        parse_recipe({**RECIPE, "publish": block})
    assert "notatokenbutlikeone" not in str(refused.value)


@pytest.mark.parametrize("name", ["main", "v1.0", "feature/int8", "refs/pr/3", "1", "a-b_c.d"])
def test_a_branch_that_is_taken_is_one_that_git_takes(name: str) -> None:
    assert revision_fault(name) is None
    assert subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False).returncode == 0


@pytest.mark.parametrize(
    "name",
    [
        *("", "a b", "..", "-x", "a..b", ".a", "a/.b", "/a", "a/", "a//b", "a.lock", "a.lock/b", "a."),
        *("@", "a@{1}", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a\n", "a\x7f"),
    ],
)
def test_no_branch_can_be_called_what_git_refuses(name: str) -> None:
    assert revision_fault(name) is not None


def test_the_names_that_are_taken_are_those_that_huggingface_hub_takes() -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    names = [
        "a",
        "a/b",
        "a.b/c_d-e",
        "a" * 96,
        "a" * 97,
        "a--b",
        "a..b",
        "x.git",
        "a/b/c",
        "",
        "-a",
        "a-",
        ".a",
        "a b",
        "~/a",
    ]
    for name in names:
        try:
            validate_repo_id(name)
            taken = True
        except HFValidationError:
            taken = False
        assert (repo_id_fault(name) is None) == taken, name
