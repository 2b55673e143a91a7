"""What every plot shares: matplotlib's objects without pyplot, no global state, equal bytes for equal results."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

INK, FAINT = "#333333", "#999999"
DPI = 150
_PARAMETERS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.hashsalt": "hfcompress",
    "svg.fonttype": "path",
}
_METADATA: dict[str, dict[str, str | None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


def drawn(make: Callable[[], Any], source: str | None = None) -> dict[str, bytes]:
    """The figure that `make` draws, as `png` and as `svg`; the first one says what it was drawn from: `source`."""
    import matplotlib

    with matplotlib.rc_context(_PARAMETERS), warnings.catch_warnings():
        # Names may be in a script that the font lacks: boxes in the plot are no reason to warn at the end of a run.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = make()
        said = _METADATA | {"png": {**_METADATA["png"], "Source": source}}
        return {kind: _saved(figure, kind, metadata) for kind, metadata in said.items()}


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure, in inches, with its canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, FigureCanvasAgg(figure)


def _saved(figure: Any, kind: str, metadata: Mapping[str, str | None]) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=DPI, metadata=metadata)
    return content.getvalue()
