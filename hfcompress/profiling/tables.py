"""An explanation as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hfcompress.profiling.explanation import Explanation, Finding, LayerTime
from hfcompress.report.figures import number, times
from hfcompress.report.grid import Cell, Table, numbers, words

#: Places that a finding names.
_MOST_LAYERS = 3


def headline(found: Explanation) -> str:
    """One line: how fast the INT8 model is beside fp32, and on what."""
    verdict = "SLOWER than fp32" if found.slower else "faster than fp32"
    return (
        f"{found.model} is {verdict}: {number(found.int8_ms)} ms against {number(found.fp32_ms)} ms, "
        f"{times(found.speedup)} (quartiles {times(found.speedup_low)} to {times(found.speedup_high)}); "
        f"{_batches(found.shapes)}, {_count(found.threads, 'thread')}, {_count(found.passes, 'pass', 'passes')}"
    )


def finding_lines(found: Explanation) -> Iterator[str]:
    """What to change, the dearest first: sentences, as a table would break them into columns of a few words."""
    yield "What costs time, ms of a pass (of a product in floating point: what it would save at the rate of the others)"
    for each in found.findings:
        yield f"{number(each.lost_ms):>6} ms  {_where(each)}"
        yield f"           {each.why[0].upper()}{each.why[1:]}. {each.change}"
    if not found.findings:
        yield "   nothing that could be seen"


def operators_table(found: Explanation) -> Table:
    """Time by operator type."""
    rows = tuple(
        (
            Cell(each.operator),
            Cell(number(each.fp32_ms), _nodes(each.fp32_nodes)),
            Cell(number(each.int8_ms), _nodes(each.int8_nodes)),
        )
        for each in found.operators
    )
    total = (Cell("all"), Cell(number(found.fp32_profiled_ms)), Cell(number(found.int8_profiled_ms)))
    return Table(
        title="Time by operator, ms of a pass (nodes)",
        columns=(*words("operator"), *numbers("fp32", "INT8")),
        rows=(*rows, total),
        caption="from ONNX Runtime's profile, which adds some microseconds to each operator",
    )


def layers_table(found: Explanation, most: int) -> Table:
    """Time by layer: the `most` dearest ones of the INT8 model."""
    left = len(found.layers) - most
    return Table(
        title="Time by layer, ms of a pass",
        columns=(*words("layer"), *numbers("fp32", "INT8", "of it Q/DQ", "speed-up"), *words("multiplies with")),
        rows=tuple(_layer(each) for each in found.layers[:most]),
        caption=f"{_count(left, 'more layer')}; --layers shows more" if left > 0 else "",
    )


def _layer(each: LayerTime) -> tuple[Cell, ...]:
    ratio = each.fp32_ms / each.int8_ms if each.int8_ms and each.fp32_ms else None
    speedup = Cell() if ratio is None else Cell(times(ratio), tone="bad" if ratio < 1 else "plain")
    quantizing = Cell(number(each.quantizing_ms)) if each.quantizing_ms else Cell()
    products = Cell(", ".join(each.int8_products)) if each.int8_products else Cell()
    return Cell(each.layer), Cell(number(each.fp32_ms)), Cell(number(each.int8_ms)), quantizing, speedup, products


def _where(each: Finding) -> str:
    names = each.nodes or each.layers
    more = len(names) - _MOST_LAYERS
    return ", ".join(names[:_MOST_LAYERS]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def _nodes(count: int) -> str:
    return f"({count})" if count else ""


def _batches(shapes: Sequence[tuple[int, ...]]) -> str:
    if len(shapes) == 1:
        return f"a batch of {' x '.join(map(str, shapes[0]))}"
    return f"{len(shapes)} batches, {sum(shape[0] for shape in shapes)} rows"
