"""README.md of a repository, from what was measured. Nothing in it is typed by hand.

Templates run in a sandbox. Whatever they print is text from outside until something here says that it is Markdown or
Python already: see `_Environment`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hfcompress.hub.card_facts import CardFacts, hub_ids
from hfcompress.hub.history import stories
from hfcompress.hub.limits import classes_table, limitations
from hfcompress.hub.metadata import front_matter, metadata, pipeline_tag
from hfcompress.hub.snippets import snippets
from hfcompress.recipe.graph import artifact_format
from hfcompress.report.detail import host_lines
from hfcompress.report.escape import escaped_line
from hfcompress.report.figures import NOTHING
from hfcompress.report.gates import gates_table, summary
from hfcompress.report.markdown import markdown_table
from hfcompress.report.table import difference_cell, headline_table, metric_cell, speed_cells

_TEMPLATE = "card.md.jinja"


class _Ready(str):
    """Text that is Markdown, or Python, already."""

    __slots__ = ()


def render_card(facts: CardFacts) -> str:
    """The whole card: front matter and Markdown. Equal facts give equal text."""
    body = _environment().get_template(_TEMPLATE).render(**_context(facts))
    return f"{front_matter(facts)}\n{body}"


def templates() -> Path:
    """Where the templates are: in the package of a wheel, in the repository otherwise."""
    package = Path(__file__).parents[1]
    installed = package / "model_cards"
    return installed if installed.is_dir() else package.parent / "model_cards" / "templates"


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(templates()),
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["python"] = _python
    environment.filters["table"] = lambda table: _Ready(markdown_table(table))
    return environment


def _python(text: str) -> _Ready:
    """A literal of Python, in double quotes where it can be."""
    return _Ready(repr(text) if re.search(r"[\"\\]", text) or not text.isprintable() else f'"{text}"')


def _printed(value: Any) -> str:
    return value if isinstance(value, _Ready) else escaped_line(str(value))


def _context(facts: CardFacts) -> dict[str, Any]:
    results = facts.results
    return {
        "name": facts.name,
        "task": pipeline_tag(results.task),
        "results": results,
        "bases": facts.bases,
        "known_bases": hub_ids(facts.bases),
        "main": results.artifact(facts.main.name),
        "figures": _figures(facts),
        "placed": facts.placed,
        "sizes": {artifact.name: artifact.size_mb for artifact in facts.published},
        "headline": headline_table(results),
        "gates": gates_table(results) if results.gates else None,
        "summary": summary(results),
        "hosts": host_lines(results),
        "stories": stories(facts),
        "metadata": metadata(facts),
        "classes": classes_table(facts),
        "limitations": limitations(facts),
        "snippets": snippets(facts),
        "beside": facts.beside,
        "version": results.hfcompress,
        "versions": _versions(facts),
        "extras": ",".join(_extras(facts)),
    }


def _extras(facts: CardFacts) -> tuple[str, ...]:
    """The optional dependencies that the whole recipe needs."""
    recipe = facts.recipe
    targets = {getattr(stage.config, "target", None) for stage in recipe.stages.values()}
    formats = {artifact_format(recipe, name) for name in recipe.stages}
    return ("onnxruntime", "openvino") if "openvino" in targets | formats else ("onnxruntime",)


def _figures(facts: CardFacts) -> dict[str, str]:
    """Of the artifact that the card speaks of first: its metric, its difference and its speed-up, with intervals."""
    artifact, metric = facts.results.artifact(facts.main.name), facts.results.metric
    return {
        "metric": str(metric_cell(metric, artifact.metrics.get(metric))),
        "difference": str(difference_cell(metric, artifact.difference.get(metric), named=False)),
        "speedup": NOTHING if artifact.name == facts.results.baseline else str(speed_cells(artifact)[1]),
    }


def _versions(facts: CardFacts) -> str:
    """The libraries that made the artifacts; several versions where stages differ."""
    found: dict[str, list[str]] = {}
    for name in facts.history:
        for library, version in facts.manifests[name].versions.items() if name in facts.manifests else ():
            found.setdefault(library, []).append(version)
    return ", ".join(f"{name} {' and '.join(dict.fromkeys(versions))}" for name, versions in sorted(found.items()))
