from __future__ import annotations

from markdown_it import MarkdownIt

from hfcompress.report.gates import gates_table
from hfcompress.report.grid import Table
from hfcompress.report.markdown import markdown_report, markdown_table
from hfcompress.report.table import headline_table
from tests.report.examples import changed, demo, failed


def parsed(text: str) -> list[list[str]]:
    """The rows of the first table, as a Markdown reader sees them."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and rows:
            rows[-1].append("".join(child.content for child in token.children or []))
        if token.type == "table_close":
            break
    return rows


def words_of(table: Table) -> list[list[str]]:
    return [[str(column) for column in table.columns], *([str(cell) for cell in row] for row in table.rows)]


def test_markdown_reads_back_as_the_table() -> None:
    for table in (headline_table(demo()), headline_table(failed()), gates_table(demo())):
        assert parsed(markdown_table(table)) == words_of(table)


def test_names_with_the_characters_of_markdown_read_back_too() -> None:
    table = headline_table(changed(demo(), "int8", name="a|b`c*d*<e>\\f"))
    assert parsed(markdown_table(table)) == words_of(table)


def test_the_report_has_verdict_plot_gates_grid_host_and_how_to_reproduce() -> None:
    text = markdown_report(demo(), "pareto.png")
    assert text.startswith("# sentiment-demo: text-classification, accuracy on test\n\n**All 3 gates passed.**\n")
    assert "![accuracy against throughput](pareto.png)" in text
    for heading in ("## Gates", "## Latency of one call", "## Metrics", "## Time", "## Host", "## How to reproduce"):
        assert heading in text
    assert "AMD EPYC" in text
    assert "\n\n\n" not in text


def test_footnotes_are_in_the_report() -> None:
    text = markdown_report(failed(), None)
    assert "- ? onnx: throughput is unreliable" in text
    assert "- student must not be published" in text
    assert "![" not in text


def test_models_that_were_measured_without_a_recipe_have_nothing_to_run_again() -> None:
    results = demo(gates=())
    for found in results.artifacts:
        results = changed(results, found.name, path=None)
    assert "reproduce" not in markdown_report(results, None)
