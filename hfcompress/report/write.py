"""Writes the report beside `results.json`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hfcompress.report.evidence import NO_EVIDENCE, Evidence, Reported
from hfcompress.report.fallback import fallbacks
from hfcompress.report.fallback_plot import draw_fallback
from hfcompress.report.html import html_report
from hfcompress.report.markdown import markdown_report
from hfcompress.report.plot import draw_pareto, drawing_of
from hfcompress.report.terminal import render
from hfcompress.results import Results

__all__ = ["render", "write_page", "write_report"]

#: Begins the file names of plots of fallbacks; the artifact's name follows.
_FALLBACK = "fallback-"


def write_report(results: Results, folder: Path, evidence: Evidence = NO_EVIDENCE) -> list[Path]:
    """Write `report.md`, `report.html`, the Pareto plot and a plot of each fallback, each whole or not at all.

    Args:
        results: what was measured.
        folder: where to.
        evidence: what `report.html` shows beside the results.

    Returns:
        What was written. Without a metric or a throughput there is no Pareto plot. Plots of before that have no
        successor are removed.
    """
    pareto = _kept(results, folder) or draw_pareto(results)
    drawn = {f"{_FALLBACK}{found.name}": draw_fallback(found, fallback) for found, fallback in fallbacks(results)}
    shown = {name.removeprefix(_FALLBACK): f"{name}.png" for name, plot in drawn.items() if plot}
    text = markdown_report(results, "pareto.png" if pareto else None, shown)
    contents = {"report.md": text.encode("utf-8"), "report.html": html_report([Reported(results, evidence)])}
    contents |= {
        f"{name}.{kind}": content
        for name, plot in {"pareto": pareto, **drawn}.items()
        for kind, content in plot.items()
    }
    for old in (*folder.glob("pareto.*"), *folder.glob(f"{_FALLBACK}*")):
        if old.suffix in (".png", ".svg") and old.name not in contents:
            old.unlink()
    return [_replaced(folder / name, content) for name, content in contents.items()]


def write_page(runs: Sequence[Reported], path: Path) -> Path:
    """Write one HTML file about several runs, whole or not at all; see `html_report`."""
    return _replaced(path, html_report(runs))


def _kept(results: Results, folder: Path) -> dict[str, bytes]:
    """The plot that is there, where this code drew it of these results: a new matplotlib is no reason to publish."""
    paths = {kind: folder / f"pareto.{kind}" for kind in ("png", "svg")}
    plot = {kind: path.read_bytes() for kind, path in paths.items() if path.is_file()}
    return plot if len(plot) == len(paths) and drawing_of(results).encode() in plot["png"] else {}


def _replaced(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
    return path
