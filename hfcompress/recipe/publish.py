"""The `publish` block of a recipe: where `hfcompress push` and `run --push` bring what was made."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, model_validator

from hfcompress.recipe.faults import show
from hfcompress.recipe.schema import Schema

#: What the Hub takes for a namespace and for a name; huggingface_hub checks the same.
_REPO_ID = re.compile(r"(\b[\w\-.]+\b/)?\b[\w\-.]{1,96}\b", re.ASCII)
#: Of what git takes (`git check-ref-format`), what needs no quotes in any shell.
_REVISION = re.compile(r"\w[\w\-.]*(/\w[\w\-.]*)*", re.ASCII)


def repo_id_fault(text: str) -> str | None:
    """Why the Hub would not take a repository's name, or None."""
    if _REPO_ID.fullmatch(text) is None:
        return "should be `namespace/name` or `name`, of letters, digits, '-', '_' and '.', 96 at most"
    if "--" in text or ".." in text:
        return "should hold neither '--' nor '..'"
    return "should not end in .git" if text.endswith(".git") else None


def revision_fault(text: str) -> str | None:
    """Why git would not take a branch's name, or None."""
    if _REVISION.fullmatch(text) is None:
        return "should be a branch: letters, digits, '-', '_', '.' and '/', neither '-' nor '.' first in any part"
    if ".." in text or text.endswith(".") or any(part.endswith(".lock") for part in text.split("/")):
        return "should neither hold '..' nor end in '.' or '.lock'"
    return None


def _checked(fault_of: Callable[[str], str | None]) -> AfterValidator:
    def check(text: str) -> str:
        fault = fault_of(text)
        if fault is not None:
            raise ValueError(f"{fault}, got {show(text)}")
        return text

    return AfterValidator(check)


class PublishConfig(Schema):
    """Where a run is published, and what of it. `run` publishes with `--push` only; the token comes from HF_TOKEN or
    the login, never from here.

    Attributes:
        repo_id: `namespace/name`, or `name` in the namespace of the token's owner.
        private: create a private repository, and refuse one that is public; default: as the namespace has it.
        create_pr: propose the commit in a pull request.
        revision: the branch.
        artifacts: what is published, by preference: the first PyTorch model is the repository's root. Default:
            everything whose gates passed, but models that only other PyTorch models were made from.
        examples: whether the published report shows texts and images of the data.
        serving: whether the files of `hfcompress tune` are published, which `load` and `load_pipeline` use on a host
            that is described as theirs is.
        replace: replace files of the repository that no earlier push has put there.
    """

    repo_id: Annotated[str, _checked(repo_id_fault)]
    private: bool | None = None
    create_pr: bool = False
    revision: Annotated[str, _checked(revision_fault)] = "main"
    artifacts: tuple[str, ...] = ()
    examples: bool = False
    serving: bool = False
    replace: bool = False

    @model_validator(mode="after")
    def _one_target(self) -> PublishConfig:
        if self.create_pr and self.revision != "main":
            raise ValueError("create_pr proposes to main; leave out `create_pr` or `revision`")
        return self
