"""Numbers as people read them. Fractions become points, and every figure says as much as it can be trusted with."""

from __future__ import annotations

import math

from hfcompress.recipe.tasks import LESS_IS_BETTER

#: What stands where nothing was measured.
NOTHING = "-"


def points(fraction: float) -> str:
    """A fraction in points: 0.8743 -> `87.4`."""
    return _without_minus_zero(f"{100 * fraction:.1f}")


def signed_points(fraction: float) -> str:
    """A difference in points with its sign: `+0.3`, `-0.9`, `0.0`."""
    text = points(fraction)
    return f"+{text}" if float(text) > 0 else text


def metric_figure(metric: str, value: float) -> str:
    """A metric as people read it: a fraction in points, an error (`perplexity`, `mse`) as it is."""
    return number(value) if metric in LESS_IS_BETTER else points(value)


def signed_metric(metric: str, value: float) -> str:
    """A difference of a metric, with its sign."""
    if metric not in LESS_IS_BETTER:
        return signed_points(value)
    text = _without_minus_zero(number(value))
    return f"+{text}" if value > 0 else text


def unit_of(metric: str) -> str:
    """What a column of the metric says of its unit: ` in points`, or nothing."""
    return "" if metric in LESS_IS_BETTER else " in points"


def number(value: float) -> str:
    """Three significant digits below 100, whole numbers with thousands above: `0.42`, `6.94`, `17.2`, `1,196`."""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.0995 or value == 0 else f"{value:.2g}"


def times(ratio: float) -> str:
    """A ratio: `6.94x`."""
    return f"{number(ratio)}x"


def told_apart(value: float, bound: float, decimals: int) -> tuple[str, str]:
    """Both with as many decimals (six at most) as it takes to see which is larger: a verdict must not look wrong."""
    if not math.isclose(value, bound, rel_tol=1e-9, abs_tol=1e-12):
        while f"{value:.{decimals}f}" == f"{bound:.{decimals}f}" and decimals < 6:
            decimals += 1
    return _without_minus_zero(f"{value:.{decimals}f}"), _without_minus_zero(f"{bound:.{decimals}f}")


def duration(seconds: float) -> str:
    """Wall time: `4.2 s`, `42 s`, `3 m 07 s`, `2 h 05 m`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} m"


def _without_minus_zero(text: str) -> str:
    return text.removeprefix("-") if float(text) == 0 else text
