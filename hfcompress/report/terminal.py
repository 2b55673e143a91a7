"""Tables on a terminal: in one piece where they fit, else stacked; never a figure less."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from hfcompress.report.detail import host_lines, hosts_table, latency_table, unique_shapes
from hfcompress.report.fallback import fallback_tables
from hfcompress.report.gates import gates_table
from hfcompress.report.grid import Cell, Column, Table
from hfcompress.report.table import headline_table
from hfcompress.results import Results

_STYLES = {"plain": "", "strong": "bold", "good": "green", "bad": "bold red"}
#: Wider than any table: a table is measured as if nothing bound it.
_UNBOUND = 10_000


def render(results: Results, console: Console) -> None:
    """Print the tables: artifacts, gates, fallbacks, the latency grid, further hosts; and the host."""
    print_table(headline_table(results), console)
    if results.gates:
        print_table(gates_table(results), console)
    for table in fallback_tables(results):
        print_table(table, console)
    if len(unique_shapes(results)) > 1:
        print_table(latency_table(results), console)
    if (hosts := hosts_table(results)).rows:
        print_table(hosts, console)
    for line in host_lines(results):
        console.print(Text(line, style="dim"))


def print_table(table: Table, console: Console) -> None:
    """Print one table as wide as the console allows.

    Intervals stand beside their figures; where that is too wide, below them; where that is too wide too, the columns
    go into several tables, each with the rows' names.
    """
    console.print(Text(table.title, style="bold"))
    for number, piece in enumerate(_pieces(table, console)):
        if number:
            console.print()
        console.print(piece)
    for line in (table.caption, *table.notes):
        if line:
            console.print(
                Padding(Text(line, style="dim" if line == table.caption else "yellow"), (0, 0, 0, 1), expand=False)
            )
    console.print()


def _pieces(table: Table, console: Console) -> list[RichTable]:
    """As few tables as can be; details go below their figures only where that saves a table."""
    beside, below = (_split(table, console, stacked=stacked) for stacked in (False, True))
    stacked = len(below) < len(beside)
    return [_drawn(table, columns, stacked=stacked) for columns in (below if stacked else beside)]


def _split(table: Table, console: Console, *, stacked: bool) -> list[list[int]]:
    """The columns of each table: the row's name, and as many more as fit (at least one)."""
    pieces = [[0]]
    for tied in _tied(table.columns):
        wider = [*pieces[-1], *tied]
        if len(pieces[-1]) > 1 and _width(_drawn(table, wider, stacked=stacked), console) > console.width:
            pieces.append([0, *tied])
        else:
            pieces[-1] = wider
    return pieces


def _tied(columns: Sequence[Column]) -> list[list[int]]:
    """The columns after the first, in runs that are never parted."""
    runs: list[list[int]] = []
    for place in range(1, len(columns)):
        if columns[place].tied:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _width(drawn: RichTable, console: Console) -> int:
    return console.measure(drawn, options=console.options.update(max_width=_UNBOUND)).maximum


def _drawn(table: Table, columns: Sequence[int], *, stacked: bool) -> RichTable:
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, header_style="")
    for place in columns:
        column = table.columns[place]
        # `fold` breaks what is wider than the whole terminal over lines; the default would cut it off.
        heading = _text(column.title, column.detail, column, stacked=stacked)
        drawn.add_column(heading, justify="right" if column.numeric else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(_cell(row[place], table.columns[place], stacked=stacked) for place in columns))
    return drawn


def _cell(cell: Cell, column: Column, *, stacked: bool) -> Text:
    text = _text(cell.text, cell.detail, column, stacked=stacked)
    text.stylize(_STYLES[cell.tone], 0, len(cell.text))
    return text


def _text(text: str, detail: str, column: Column, *, stacked: bool) -> Text:
    drawn = Text(text, justify="right" if column.numeric else "left", overflow="fold")
    if detail:
        drawn.append("\n" if stacked else " ").append(detail, style="dim")
    return drawn
