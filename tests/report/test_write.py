from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

from hfcompress.report import canvas, plot
from hfcompress.report.markdown import markdown_report
from hfcompress.report.plot import draw_pareto, is_drawn_from
from hfcompress.report.write import write_report
from hfcompress.results import read_results, write_results
from tests.report.examples import artifact, changed, demo, failed


@pytest.fixture(scope="module")
def plots() -> dict[str, bytes]:
    return draw_pareto(failed())


def test_the_report_is_four_files_and_nothing_else(tmp_path: Path) -> None:
    written = write_report(demo(), tmp_path)
    assert [path.name for path in written] == ["report.md", "report.html", "pareto.png", "pareto.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pareto.png", "pareto.svg", "report.html", "report.md"]
    with Image.open(tmp_path / "pareto.png") as image:
        assert image.size == (1200, 780)
    assert ET.parse(tmp_path / "pareto.svg").getroot().tag.endswith("svg")


def test_equal_results_give_equal_bytes(plots: dict[str, bytes]) -> None:
    assert draw_pareto(failed()) == plots


def test_the_plot_holds_no_date_and_no_creator(plots: dict[str, bytes]) -> None:
    assert b"<dc:date>" not in plots["svg"]
    assert b"Software" not in plots["png"]


def test_without_metrics_there_is_no_plot_and_an_old_one_goes(tmp_path: Path) -> None:
    (tmp_path / "pareto.png").write_bytes(b"old")
    results = demo()
    for found in results.artifacts:
        results = changed(results, found.name, metrics={}, difference={})
    assert [path.name for path in write_report(results, tmp_path)] == ["report.md", "report.html"]
    assert not (tmp_path / "pareto.png").exists()
    assert "pareto" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_plot_of_equal_results_stays_whatever_would_draw_it_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(demo(), tmp_path)
    first = (tmp_path / "pareto.png").read_bytes()
    assert is_drawn_from(first, demo(seconds={}))
    monkeypatch.setattr(canvas, "DPI", 90)  # as a new matplotlib, other bytes
    write_report(demo(seconds={}), tmp_path)
    assert (tmp_path / "pareto.png").read_bytes() == first
    write_report(failed(), tmp_path)
    second = (tmp_path / "pareto.png").read_bytes()
    assert is_drawn_from(second, failed())
    assert not is_drawn_from(second, demo())
    monkeypatch.setattr(plot, "__version__", "99")  # newer code draws anew
    monkeypatch.setattr(canvas, "DPI", 60)
    write_report(failed(), tmp_path)
    assert (tmp_path / "pareto.png").read_bytes() != second


@pytest.mark.parametrize("count", [1, 8])
def test_close_points_names_in_any_script_and_dollar_signs_draw_without_a_warning(count: int) -> None:
    artifacts = [
        artifact(f"模型$x_{number}$", "quantize" if number % 2 else "distill", 0.87, 400 + number, 30)
        for number in range(count)
    ]
    assert draw_pareto(demo(artifacts=tuple(artifacts)))["png"]


def test_an_interval_beside_its_value_and_a_score_of_nothing_draw() -> None:
    odd = demo().artifacts[0].metrics["accuracy"].model_copy(update={"value": 0.0, "low": 0.01, "high": 0.02})
    assert draw_pareto(changed(demo(), "int8", metrics={"accuracy": odd}))["svg"]


def test_results_read_back_make_the_same_report(tmp_path: Path) -> None:
    write_results(demo(), tmp_path / "results.json")
    again = read_results(tmp_path / "results.json")
    assert markdown_report(again, None) == markdown_report(demo(), None)
