"""README.md of a repository, from what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from hfcompress.hub.places import Placed
from hfcompress.recipe.recipe import Recipe
from hfcompress.report.markdown import markdown_table
from hfcompress.report.table import headline_table
from hfcompress.results import Results


def render_card(
    results: Results, recipe: Recipe, placed: Sequence[Placed], repo_id: str | None, beside: frozenset[str]
) -> str:
    """The whole card: front matter and Markdown.

    Args:
        results: as published.
        recipe: as it was run.
        placed: the published artifacts.
        repo_id: where it will be; None: not known yet.
        beside: paths of the documents that are published with it.
    """
    table = headline_table(results)
    return f"# {results.recipe}\n\n{markdown_table(table)}\n"
