"""Draws accuracy-aware fallback: the costliest layers as bars, and drop and speed step by step."""

from __future__ import annotations

import math
from typing import Any

from hfcompress.report.canvas import FAINT, INK, drawn, new_figure
from hfcompress.report.fallback import MOST_LAYERS, module_of
from hfcompress.report.figures import unit_of
from hfcompress.results import ArtifactResult, FallbackResult, RankedLayer

#: Okabe & Ito's blue and vermilion.
_ERROR, _COST = "#0072B2", "#D55E00"
_LONGEST_NAME = 44
#: Steps whose figures have room beside each other.
_MOST_FIGURES = 10


def draw_fallback(artifact: ArtifactResult, fallback: FallbackResult) -> dict[str, bytes]:
    """The plot as `png` and as `svg`; empty when nothing was returned."""
    return drawn(lambda: _figure(artifact, fallback)) if fallback.ranking else {}


def _figure(artifact: ArtifactResult, fallback: FallbackResult) -> Any:
    layers = fallback.ranking[:MOST_LAYERS]
    figure, _ = new_figure(10.5, max(4.2, 1.6 + 0.32 * len(layers)))
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1))
    _draw_ranking(figure.add_subplot(grid[:, 0]), layers, fallback)
    upper = figure.add_subplot(grid[0, 1])
    _draw_drop(upper, fallback)
    _draw_speed(figure.add_subplot(grid[1, 1], sharex=upper), fallback)
    figure.suptitle(f"{artifact.name}: layers returned to floating point", x=0.01, ha="left", fontsize=12, color=INK)
    return figure


def _draw_ranking(axes: Any, layers: tuple[RankedLayer, ...], fallback: FallbackResult) -> None:
    """Two bars a layer on a logarithmic axis; returned layers have names in bold."""
    from matplotlib.ticker import FuncFormatter

    places = range(len(layers))
    errors, costs = [layer.output_error for layer in layers], [layer.cost or 0.0 for layer in layers]
    floor = min([value for value in (*errors, *costs) if value > 0], default=1e-6) / 3  # 0 has no logarithm
    for shift, values, colour, label in (
        (-0.2, errors, _ERROR, "its own output"),
        (0.2, costs, _COST, "the model's, with it alone in INT8"),
    ):
        widths = [max(value, floor) for value in values]
        axes.barh([place + shift for place in places], widths, 0.38, color=colour, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"1e{math.log10(value):.0f}"))
    axes.set_xlim(floor, max(1.0, *errors, *costs) * 1.5)
    axes.set_yticks(list(places), [_short(module_of(layer.layer)) for layer in layers], fontsize=8.5)
    for label, layer in zip(axes.get_yticklabels(), layers, strict=True):
        if layer.layer in fallback.returned:
            label.set_fontweight("bold")
    axes.invert_yaxis()
    shown = "" if len(layers) == len(fallback.ranking) else f"; {len(layers)} of {len(fallback.ranking)} layers"
    axes.set_xlabel(f"squared error over squared output{shown}; bold: returned")
    axes.legend(frameon=False, fontsize=8.5, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    _clean(axes, "x")


def _draw_drop(axes: Any, fallback: FallbackResult) -> None:
    for colour, (metric, bound) in zip((_ERROR, _COST, INK), fallback.max_drop.items(), strict=False):
        found = [step.difference[metric] for step in fallback.steps]
        values = [100 * difference.value for difference in found]
        low = [max(0.0, 100 * (difference.value - difference.low)) for difference in found]
        high = [max(0.0, 100 * (difference.high - difference.value)) for difference in found]
        label = f"{metric}, difference{unit_of(metric)}"
        axes.errorbar(range(len(found)), values, yerr=[low, high], color=colour, marker="o", capsize=3, label=label)
        axes.axhline(-100 * bound, color=colour, linestyle=(0, (5, 3)), linewidth=1)
    axes.legend(frameon=False, fontsize=8.5, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    axes.set_ylabel(f"against {_reference(fallback)}\n(dashed: budget)")
    axes.tick_params(labelbottom=False)
    _clean(axes, "y")


def _draw_speed(axes: Any, fallback: FallbackResult) -> None:
    speedups = [step.speedup or 0.0 for step in fallback.steps]
    bars = axes.bar(range(len(speedups)), speedups, 0.6, color=FAINT)
    if len(speedups) <= _MOST_FIGURES:
        axes.bar_label(bars, [f"{value:.2f}x" for value in speedups], fontsize=8.5, padding=2)
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.set_ylim(0, 1.2 * max(1.0, *speedups))
    axes.set_ylabel(f"speed-up over {_reference(fallback)}")
    some = range(0, len(speedups), -(-len(speedups) // _MOST_FIGURES))
    axes.set_xticks(some, [str(len(fallback.steps[place].returned)) for place in some])
    axes.set_xlabel("layers in floating point, step by step")
    _clean(axes, "y")


def _reference(fallback: FallbackResult) -> str:
    return next(iter(fallback.steps[0].difference.values())).against


def _short(name: str) -> str:
    """The end of a long path, which tells layers apart."""
    return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"


def _clean(axes: Any, axis: str) -> None:
    axes.grid(True, axis=axis, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
