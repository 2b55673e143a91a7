"""Which figures of a measurement are in doubt, read from its remarks."""

from __future__ import annotations

from collections.abc import Iterator

from hfcompress.results import Latency, Speed

#: Trails every figure that is in doubt.
MARK = "?"
THROUGHPUT = "throughput"
SPEEDUP = "speed-up"


def cell_name(batch: int, sequence: int | None) -> str:
    """A cell of the latency grid: `batch 1, sequence 16`."""
    return f"batch {batch}" if sequence is None else f"batch {batch}, sequence {sequence}"


def latency_name(cell: Latency) -> str:
    """What a remark about a cell begins with."""
    return f"latency at {cell_name(cell.batch, cell.sequence)}"


def mark(speed: Speed, figure: str) -> str:
    """`?` when the figure is in doubt, else nothing.

    A measurement that is unreliable for a reason that names no figure puts all its figures in doubt.
    """
    if speed.reliable:
        return ""
    named = [name for name in _figures(speed) if _remarks_on(speed, name)]
    return MARK if not named or figure in named else ""


def remarks_on(speed: Speed, figures: set[str]) -> Iterator[str]:
    """The remarks about these figures, and those that are about no figure in particular."""
    elsewhere = [figure for figure in _figures(speed) if figure not in figures]
    for remark in speed.remarks:
        if not any(_is_about(remark, figure) for figure in elsewhere):
            yield remark


def _figures(speed: Speed) -> list[str]:
    return [THROUGHPUT, SPEEDUP, *(latency_name(cell) for cell in speed.latency)]


def _remarks_on(speed: Speed, figure: str) -> bool:
    return any(_is_about(remark, figure) for remark in speed.remarks)


def _is_about(remark: str, figure: str) -> bool:
    # The blank keeps "latency at batch 1" from matching "latency at batch 16" and "batch 1, sequence 16".
    return remark.startswith(f"{figure} ")
