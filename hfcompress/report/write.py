"""Writes the report beside `results.json`."""

from __future__ import annotations

import os
from pathlib import Path

from hfcompress.report.markdown import markdown_report
from hfcompress.report.plot import draw_pareto
from hfcompress.report.terminal import render
from hfcompress.results import Results

__all__ = ["render", "write_report"]


def write_report(results: Results, folder: Path) -> list[Path]:
    """Write `report.md`, `pareto.png` and `pareto.svg`, each whole or not at all.

    Returns:
        What was written. Without a metric or a throughput there is no plot, and a plot of before is removed.
    """
    plots = draw_pareto(results)
    text = markdown_report(results, "pareto.png" if plots else None)
    contents = {"report.md": text.encode("utf-8"), "pareto.png": plots.get("png"), "pareto.svg": plots.get("svg")}
    return [path for name, content in contents.items() if (path := _replaced(folder / name, content))]


def _replaced(path: Path, content: bytes | None) -> Path | None:
    if content is None:
        path.unlink(missing_ok=True)
        return None
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
    return path
