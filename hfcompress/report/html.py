"""The report as one HTML file: no network, nothing beside it, opens from disk.

A content security policy holds it to that: only our own script and style, named by their sha256, may run, and only
images that are in the file itself are shown. All words come through jinja's autoescape.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hfcompress.errors import InputError
from hfcompress.report.evidence import Evidence, Reported
from hfcompress.report.html_charts import charts_of
from hfcompress.report.html_sections import page_of
from hfcompress.results import Results

_PAGE = Path(__file__).with_name("page")
#: In this order: later ones use earlier ones.
_SCRIPTS = ("chart", "scope", "tables", "labels", "tradeoff", "losses", "latency", "flips", "page")


def html_report(runs: Sequence[Reported]) -> bytes:
    """One page about one run, or about several runs of one task, side by side.

    Equal runs give equal bytes.

    Raises:
        InputError: the runs are of different tasks, or scored by different metrics.
    """
    check_comparable([run.results for run in runs])
    script, style = _script(), _asset("page.css")
    page = _template().render(
        page=page_of(runs),
        charts=_embedded(charts_of(runs)),
        script=_markup(script),
        style=_markup(style),
        policy=_policy(script, style),
    )
    return str(page).encode("utf-8")


def publishable_report(results: Results, evidence: Evidence, recipe: str, *, examples: bool = False) -> bytes:
    """The page for a repository: users' texts and images stay where they are, unless `examples` says otherwise.

    Args:
        results, recipe: as they are published.
        evidence: as it was gathered from the run folder.
        examples: whether rows of the data may be shown.
    """
    return html_report([Reported(results, evidence.published(recipe, examples=examples))])


def check_comparable(runs: Sequence[Results]) -> None:
    """Refuse runs that cannot stand in one table; see `html_report`."""
    for run in runs[1:]:
        for what in ("task", "metric"):
            ours, theirs = getattr(runs[0], what), getattr(run, what)
            if ours != theirs:
                raise InputError(
                    f"{runs[0].recipe} and {run.recipe} do not compare: their {what} is {ours} and {theirs}; report "
                    "them one by one"
                )


def _embedded(data: Any) -> Any:
    """JSON that cannot end its script element, whatever its strings hold."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return _markup(text)


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; script-src '{_sha256(script)}'; "
        f"style-src '{_sha256(style)}'"
    )


def _sha256(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _script() -> str:
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@cache
def _asset(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.jinja")


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # ours, or escaped by `_embedded`
