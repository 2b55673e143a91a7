from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from hfcompress.report.detail import latency_table
from hfcompress.report.gates import gates_table
from hfcompress.report.table import headline_table
from hfcompress.report.terminal import print_table, render
from hfcompress.results import Results
from tests.report.examples import changed, demo, failed


def shown(results: Results, width: int) -> str:
    file = io.StringIO()
    render(results, Console(file=file, width=width))
    return file.getvalue()


def figures(text: str) -> set[str]:
    return set(re.findall(r"[-+]?\d[\d,.]*\??", text.replace("]", " ").replace(", ", " ")))


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 200])
@pytest.mark.parametrize("results", [demo(), failed()], ids=["passed", "failed"])
def test_no_width_loses_a_figure_or_cuts_a_line(results: Results, width: int) -> None:
    text = shown(results, width)
    for table in (headline_table(results), gates_table(results), latency_table(results)):
        for row in table.rows:
            for cell in row:
                assert figures(str(cell)) <= figures(text)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text


def test_details_stand_beside_their_figures_where_there_is_room_and_below_where_that_saves_a_table() -> None:
    assert "87.4 [85.8, 89.0]" in shown(demo(), 160)
    assert "87.4 [85.8, 89.0]" not in shown(demo(), 120)
    assert shown(demo(), 120).count("int8 ") == shown(demo(), 160).count("int8 ")


def test_columns_that_belong_together_are_never_parted() -> None:
    for width in range(60, 130, 10):
        (heading,) = [line for line in shown(demo(), width).splitlines() if "p50 ms" in line]
        assert "p99 ms" in heading


def test_a_name_wider_than_the_terminal_is_folded_and_not_cut() -> None:
    long = "/".join(["a-very-long-folder-name"] * 3)
    results = changed(demo(), "int8", name=long)
    file = io.StringIO()
    print_table(headline_table(results), Console(file=file, width=50))
    joined = "".join(line.split("  ")[0].strip() for line in file.getvalue().splitlines())
    assert long in joined


def test_names_are_not_markup() -> None:
    assert "[red]x" in shown(changed(demo(), "int8", name="[red]x"), 160)


def test_an_ascii_terminal_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    render(failed(), Console(file=file, width=100))
    file.flush()
    assert b"87.4" in raw.getvalue()


def test_the_host_comes_last() -> None:
    assert shown(demo(), 200).splitlines()[-1].startswith("AMD EPYC")
