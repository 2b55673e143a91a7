"""What the documents say exists: places that links lead to, commands and options that they name."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

from hfcompress.cli.app import app
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.data import BenchmarkConfig

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "recipes" / "README.md",
    *(ROOT / "docs").glob("*.md"),
]
COMMANDS = typer.main.get_command(app)
#: Commands stand in indented blocks, in fenced ones and between backticks; a comment ends them.
COMMAND = re.compile(r"(?:^ {4}|`|&& |: )(hfcompress [a-z][^`#\n]*)", flags=re.MULTILINE)


def anchors(document: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", document, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(document: Path) -> Iterator[str]:
    """Those that stay in the repository."""
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if "://" not in target:
            yield target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in links(document):
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_every_document_is_reached_from_the_readme() -> None:
    reached = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert set((ROOT / "docs").glob("*.md")) <= reached


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_option_exists(document: Path) -> None:
    for line in COMMAND.findall(document.read_text()):
        _, name, *words = shlex.split(line.replace("...", ""))
        command = COMMANDS.get_command(click.Context(COMMANDS), name)
        assert command is not None, line
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= {*options, "--help"}, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_that_a_program_imports_from_hfcompress_exists(document: Path) -> None:
    for program in re.findall(r"^```python\n(.*?)^```", document.read_text(), flags=re.DOTALL | re.MULTILINE):
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "hfcompress":
                module = importlib.import_module(node.module or "")
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def test_the_recipe_that_is_explained_is_one() -> None:
    (said,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/recipe.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    explained = parse_recipe(said)
    assert explained.benchmark == BenchmarkConfig(threads=4)
