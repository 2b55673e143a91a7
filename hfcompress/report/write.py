"""Writes the report beside `results.json`."""

from __future__ import annotations

import os
from pathlib import Path

from hfcompress.report.fallback import fallbacks
from hfcompress.report.fallback_plot import draw_fallback
from hfcompress.report.markdown import markdown_report
from hfcompress.report.plot import draw_pareto
from hfcompress.report.terminal import render
from hfcompress.results import Results

__all__ = ["render", "write_report"]

#: Begins the file names of plots of fallbacks; the artifact's name follows.
_FALLBACK = "fallback-"


def write_report(results: Results, folder: Path) -> list[Path]:
    """Write `report.md`, the Pareto plot and a plot of each fallback, as png and svg, each whole or not at all.

    Returns:
        What was written. Without a metric or a throughput there is no Pareto plot. Plots of before that have no
        successor are removed.
    """
    pareto = draw_pareto(results)
    drawn = {f"{_FALLBACK}{found.name}": draw_fallback(found, fallback) for found, fallback in fallbacks(results)}
    shown = {name.removeprefix(_FALLBACK): f"{name}.png" for name, plot in drawn.items() if plot}
    text = markdown_report(results, "pareto.png" if pareto else None, shown)
    contents = {"report.md": text.encode("utf-8")}
    contents |= {
        f"{name}.{kind}": content
        for name, plot in {"pareto": pareto, **drawn}.items()
        for kind, content in plot.items()
    }
    for old in (*folder.glob("pareto.*"), *folder.glob(f"{_FALLBACK}*")):
        if old.suffix in (".png", ".svg") and old.name not in contents:
            old.unlink()
    return [_replaced(folder / name, content) for name, content in contents.items()]


def _replaced(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
    return path
