"""Draws the Pareto plot."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from hfcompress._version import __version__
from hfcompress.report.canvas import DPI, FAINT, INK, drawn, new_figure
from hfcompress.report.figures import unit_of
from hfcompress.report.pareto import Point, front_of, points_of
from hfcompress.report.placement import Box, Scene, place_labels
from hfcompress.results import Results

#: Okabe & Ito's colours, which people with any colour vision tell apart; the marker says the same without colour.
_LOOKS = {"torch": ("#0072B2", "o"), "onnx": ("#D55E00", "s"), "openvino": ("#009E73", "D")}
_OTHER_LOOK = ("#CC79A7", "^")
#: Above this ratio between the fastest and the slowest the axis is logarithmic.
_LOG_FROM = 4.0


def draw_pareto(results: Results) -> dict[str, bytes]:
    """The plot as `png` and as `svg`; empty when no artifact has both a metric and a throughput."""
    points = points_of(results)
    return drawn(lambda: _figure(results, points), drawing_of(results)) if points else {}


def drawing_of(results: Results) -> str:
    """What a plot says of itself: the code that drew it, and what. Another matplotlib draws other bytes of the same."""
    return f"hfcompress {__version__}; {_identity(results)}"


def is_drawn_from(png: bytes, results: Results) -> bool:
    """Whether a plot is one of these results; the seconds of a run do not count."""
    return _identity(results).encode() in png


def _identity(results: Results) -> str:
    measured = results.model_dump_json(by_alias=True, exclude={"seconds"})
    return f"results {hashlib.sha256(measured.encode()).hexdigest()}"


def _figure(results: Results, points: Sequence[Point]) -> Any:
    figure, canvas = new_figure(8, 5.2)
    axes = figure.add_subplot()
    _draw_axes(axes, results, points)
    front = front_of(results, points)
    _draw_front(axes, front)
    for point in points:
        _draw_point(axes, point, points)
    _draw_legend(figure, points)
    figure.draw_without_rendering()  # the layout is done, and sizes in pixels are known, from here on
    figure.set_layout_engine("none")
    _draw_labels(axes, points, front, canvas.get_renderer())
    return figure


def _draw_axes(axes: Any, results: Results, points: Sequence[Point]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    slowest, fastest = min(p.throughput for p in points), max(p.throughput for p in points)
    if fastest / slowest > _LOG_FROM:
        axes.set_xscale("log")
        subs = (1, 2, 5) if fastest / slowest < 100 else (1,)
        axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(slowest / 1.8, fastest * 1.65)
    else:
        room = max(fastest - slowest, 0.2 * fastest)
        axes.set_xlim(max(0.0, slowest - 0.2 * room), fastest + 0.3 * room)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    low, high = min(p.low for p in points), max(p.high for p in points)
    room = max(high - low, 0.5)
    axes.set_ylim(low - 0.14 * room, high + 0.16 * room)
    axes.set_xlabel("throughput on the data's own lengths, rows per second")
    axes.set_ylabel(f"{results.metric}{unit_of(results.metric)} (95% interval)")
    split = next(a.metrics[results.metric].split for a in results.artifacts if results.metric in a.metrics)
    axes.set_title(f"{results.recipe}: {results.task}, {split} split", loc="left", fontsize=12, color=INK)
    axes.grid(True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_front(axes: Any, front: Sequence[Point]) -> None:
    # `steps-pre`: up to the throughput of a point on the front, its score is the best to be had.
    axes.plot(
        [point.throughput for point in front],
        [point.score for point in front],
        drawstyle="steps-pre",
        color=FAINT,
        linewidth=1.3,
        linestyle=(0, (5, 3)),
        zorder=1.5,
    )


def _draw_point(axes: Any, point: Point, points: Sequence[Point]) -> None:
    colour, marker = _LOOKS.get(point.format, _OTHER_LOOK)
    axes.errorbar(
        [point.throughput],
        [point.score],
        # A bootstrap interval may lie beside its value when there are few rows; a length cannot be negative.
        yerr=[[max(0.0, point.score - point.low)], [max(0.0, point.high - point.score)]],
        color=colour,
        linewidth=1.3,
        capsize=3,
        alpha=0.55,
        zorder=2,
    )
    face = colour if point.publishable else "white"
    axes.scatter(
        [point.throughput],
        [point.score],
        s=_area(point, points),
        marker=marker,
        facecolor=face,
        edgecolor=colour,
        linewidth=1.6,
        zorder=3,
    )
    if point.elsewhere:
        axes.scatter(
            [point.throughput],
            [point.score],
            s=2.2 * _area(point, points) + 60,
            marker="o",
            facecolor="none",
            edgecolor=colour,
            linewidth=1.1,
            zorder=2.9,
        )


def _area(point: Point, points: Sequence[Point]) -> float:
    """The marker's area, square typographic points, grows with the artifact's size."""
    return 40 + 200 * point.size_mb / max(other.size_mb for other in points)


def _draw_legend(figure: Any, points: Sequence[Point]) -> None:
    from matplotlib.lines import Line2D

    def entry(label: str, colour: str, marker: str, face: str) -> Any:
        return Line2D([], [], linestyle="none", color=colour, marker=marker, ms=8, mfc=face, mew=1.5, label=label)

    looks = {point.format: _LOOKS.get(point.format, _OTHER_LOOK) for point in points}
    entries = [entry(name, colour, marker, colour) for name, (colour, marker) in looks.items()]
    if not all(point.publishable for point in points):
        entries.append(entry("hollow: a gate failed", INK, "o", "white"))
    if any(point.elsewhere for point in points):
        entries.append(entry("ring: measured by a bundle", INK, "o", "none"))
    entries.append(Line2D([], [], color=FAINT, linestyle=(0, (5, 3)), linewidth=1.3, label="Pareto front"))
    figure.legend(
        handles=entries,
        title="marker area: size on disk",
        title_fontsize=9,
        loc="outside lower center",
        ncols=len(entries),
        frameon=False,
        fontsize=9,
    )


def _draw_labels(axes: Any, points: Sequence[Point], front: Sequence[Point], renderer: Any) -> None:
    from matplotlib.patheffects import withStroke

    # A white rim keeps text readable where points are so close that a line has to run through it.
    looks = {"fontsize": 9, "color": INK, "linespacing": 1.25, "va": "bottom", "zorder": 4}
    rim = [withStroke(linewidth=2.5, foreground="white")]
    texts = [axes.text(p.throughput, p.score, f"{p.name}\n{p.label}", path_effects=rim, **looks) for p in points]
    extents = [text.get_window_extent(renderer) for text in texts]
    anchors = [_pixels(axes, point.throughput, point.score) for point in points]
    sizes = [(extent.width + 4, extent.height + 4) for extent in extents]
    boxes = place_labels(anchors, sizes, _scene(axes, points, front, renderer), gap=0.13 * DPI)
    # In the data's coordinates, since an SVG has other pixels than those that were measured.
    to_data = axes.transData.inverted().transform
    for text, box, anchor in zip(texts, boxes, anchors, strict=True):
        text.set_position(to_data((box.left + 2, box.bottom + 2)))
        _draw_leader(axes, box, anchor)


def _pixels(axes: Any, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y))
    return float(across), float(up)


def _scene(axes: Any, points: Sequence[Point], front: Sequence[Point], renderer: Any) -> Scene:
    extent = axes.get_window_extent(renderer)
    markers = []
    for point in points:
        x, y = _pixels(axes, point.throughput, point.score)
        half = math.sqrt(_area(point, points)) / 72 * DPI / 2 + 2
        markers.append(Box(x - half, y - half, x + half, y + half))
    return Scene(Box(extent.x0, extent.y0, extent.x1, extent.y1), markers, list(_lines(axes, points, front)))


def _lines(axes: Any, points: Sequence[Point], front: Sequence[Point]) -> Iterator[Box]:
    """Error bars and the steps of the front, as thin boxes in pixels."""
    for point in points:
        x, low = _pixels(axes, point.throughput, point.low)
        high = _pixels(axes, point.throughput, point.high)[1]
        yield Box(x - 3, low - 2, x + 3, high + 2)
    corners = [_pixels(axes, point.throughput, point.score) for point in front]
    for (x0, y0), (x1, y1) in pairwise(corners):
        yield Box(x0 - 2, min(y0, y1) - 2, x0 + 2, max(y0, y1) + 2)
        yield Box(x0, y1 - 2, x1, y1 + 2)


def _draw_leader(axes: Any, box: Box, anchor: tuple[float, float]) -> None:
    """A thin line from a label that had to go far away to its point."""
    x, y = anchor
    near = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
    if math.dist(near, anchor) < 0.32 * DPI:
        return
    to_data = axes.transData.inverted().transform
    (x0, y0), (x1, y1) = to_data(near), to_data(anchor)
    axes.plot([x0, x1], [y0, y1], color=FAINT, linewidth=0.7, zorder=1.6, scalex=False, scaley=False)
