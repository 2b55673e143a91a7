"""The fallback as tables, as a plot, and in the report."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from hfcompress.report.fallback import MOST_LAYERS, changes, module_of, ranking_table, steps_table
from hfcompress.report.fallback_plot import draw_fallback
from hfcompress.report.terminal import render
from hfcompress.report.write import write_report
from hfcompress.results import FallbackResult, FallbackStep, RankedLayer, Results
from tests.report.examples import changed, demo, difference, interval

NAMES = [f"/bert/encoder/layer.{number}/output/dense/MatMul" for number in range(20)]


def step(returned: list[int], change: float, speedup: float) -> FallbackStep:
    return FallbackStep(
        returned=tuple(NAMES[number] for number in returned),
        metrics={"accuracy": interval(0.87 + change, 0.016, "validation")},
        difference={"accuracy": difference(change, "validation", "onnx")},
        speedup=speedup,
    )


def ranked(number: int) -> RankedLayer:
    alone = {"accuracy": difference(-0.04 / (number + 1), "validation", "onnx")}
    measured = {"cost": 0.2 / 10**number, "difference": alone} if number < 5 else {}
    return RankedLayer(layer=NAMES[number], output_error=0.5 / 4**number, **measured)


def searched(**fields: object) -> FallbackResult:
    everything = {
        "max_drop": {"accuracy": 0.003},
        "steps": (step([], -0.041, 1.9), step([0], -0.012, 1.8), step([0, 1], -0.002, 1.7), step([1], -0.003, 1.75)),
        "ranking": tuple(ranked(number) for number in range(20)),
        "rows": 256,
    }
    return FallbackResult(**{**everything, **fields})  # type: ignore[arg-type]


def results(fallback: FallbackResult) -> Results:
    return changed(demo(), "int8", fallback=fallback)


def test_each_step_says_what_returned_what_was_lost_and_how_fast_it_still_is() -> None:
    table = steps_table(demo().artifact("int8"), searched())
    assert table.column("step") == [
        "all in INT8",
        "+ bert.encoder.layer.0.output.dense",
        "+ bert.encoder.layer.1.output.dense",
        "- bert.encoder.layer.0.output.dense",
    ]
    assert [cell.split()[0] for cell in table.column("accuracy difference")] == ["-4.1", "-1.2", "-0.2", "-0.3"]
    assert table.column("speed-up") == ["1.90x", "1.80x", "1.70x", "1.75x"]
    assert table.column("budget") == ["exceeded", "exceeded", "holds", "holds"]
    assert "against onnx, on validation; budget: accuracy -0.3." in table.caption
    assert table.notes == ()


def test_the_ranking_shows_the_worst_layers_and_which_of_them_returned() -> None:
    table = ranking_table(demo().artifact("int8"), searched())
    assert len(table.rows) == MOST_LAYERS
    assert table.column("stays")[:3] == ["INT8", "floating point", "INT8"]
    assert table.column("output error")[0] == "0.50"
    assert table.column("cost alone")[4:6] == ["2e-05", "-"]
    assert table.notes == ("4 layers more are in results.json",)


def test_where_nothing_returned_that_is_said_and_there_is_no_plot() -> None:
    held = searched(steps=(step([], -0.001, 1.9),), ranking=())
    assert list(changes(held)) == ["all in INT8"]
    assert steps_table(demo().artifact("int8"), held).notes == (
        "INT8 of every layer is within the budget: nothing was returned",
    )
    assert draw_fallback(demo().artifact("int8"), held) == {}


def test_a_choice_made_on_the_reported_split_is_called_flattering() -> None:
    artifact = demo().artifact("int8").model_copy(update={"metrics": {"accuracy": interval(0.87, 0.01, "validation")}})
    (note,) = steps_table(artifact, searched()).notes
    assert note.startswith("the layers were chosen on validation")


@pytest.mark.parametrize(
    "node, module",
    [
        ("/bert/encoder/layer.0/output/dense/MatMul", "bert.encoder.layer.0.output.dense"),
        ("/classifier/Gemm", "classifier"),
        ("/vit/embeddings/patch_embeddings/projection/Conv", "vit.embeddings.patch_embeddings.projection"),
        ("/bert/encoder/layer.0/attention/self/MatMul_1", "bert.encoder.layer.0.attention.self.MatMul_1"),
        ("node_linear_3", "node_linear_3"),
        ("MatMul", "MatMul"),
    ],
)
def test_layers_are_called_after_their_modules(node: str, module: str) -> None:
    assert module_of(node) == module


def test_the_report_has_tables_and_plot_and_a_plot_of_before_goes(tmp_path: Path) -> None:
    (tmp_path / "fallback-other.png").write_bytes(b"old")
    write_report(results(searched()), tmp_path)
    names = sorted(path.name for path in tmp_path.glob("fallback-*"))
    assert names == ["fallback-int8.png", "fallback-int8.svg"]
    with Image.open(tmp_path / "fallback-int8.png") as image:
        assert image.size[0] == 1575
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "## int8: layers returned to floating point" in text
    assert "(fallback-int8.png)" in text
    write_report(demo(), tmp_path)
    assert not list(tmp_path.glob("fallback-*"))


def test_the_plot_has_equal_bytes_for_equal_results_and_room_for_many_steps() -> None:
    many = searched(steps=tuple(step(list(range(count)), -0.04 + 0.002 * count, 1.9) for count in range(20)))
    assert draw_fallback(demo().artifact("int8"), many) == draw_fallback(demo().artifact("int8"), many)
    nothing = searched(ranking=(RankedLayer(layer="$x$", output_error=0.0, cost=0.0),))
    assert draw_fallback(demo().artifact("int8"), nothing)["png"]


def test_a_terminal_shows_the_steps_and_the_ranking() -> None:
    file = io.StringIO()
    render(results(searched()), Console(file=file, width=120))
    assert "int8: layers returned to floating point" in file.getvalue()
    assert "int8: what layers cost in INT8" in file.getvalue()
