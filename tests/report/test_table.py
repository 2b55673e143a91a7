from __future__ import annotations

from typing import Any

from hfcompress.report.detail import host_lines, hosts_table, latency_grid, latency_table, metrics_table, seconds_table
from hfcompress.report.gates import gates_table, summary
from hfcompress.report.table import headline_cell, headline_table
from hfcompress.results import Measurement
from tests.report.examples import HOST, SPREAD, artifact, changed, demo, difference, failed, gate


def test_the_headline_has_a_row_for_every_artifact_with_its_metric_and_interval() -> None:
    table = headline_table(demo())
    assert table.column("model") == ["teacher (baseline)", "student", "onnx", "int8"]
    assert table.column("accuracy") == [
        "88.3 [86.7, 90.0]",
        "87.1 [85.5, 88.8]",
        "87.1 [85.5, 88.8]",
        "87.4 [85.8, 89.0]",
    ]
    assert table.column("difference")[3] == "-0.9 [-2.0, +0.2]"
    assert table.column("made by")[3] == "quantize (onnxruntime)"


def test_the_headline_has_size_and_speed_in_their_units() -> None:
    int8 = {column.title: str(cell) for column, cell in zip(headline_table(demo()).columns, _row("int8"), strict=True)}
    assert int8["size MB"] == "17.6 (0.19x)"
    assert (int8["p50 ms"], int8["p99 ms"]) == ("3.18", "4.13")
    assert (int8["rows/s"], int8["speed-up"]) == ("1,196", "6.91x [6.64, 7.26]")
    assert int8["memory MB"] == "396"
    assert int8["gates"] == "passed"


def test_the_headline_shows_the_smallest_batch_at_the_longest_sequence_and_says_so() -> None:
    assert headline_cell(demo()) == (1, 64)
    assert "batch 1, sequence 64" in headline_table(demo()).caption


def test_images_have_no_sequence() -> None:
    cell = demo().artifacts[0].latency[0].model_copy(update={"sequence": None})
    results = demo(artifacts=(artifact("vit", "finetune", 0.9, 100, 20, latency=(cell,)),), baseline="vit")
    assert headline_cell(results) == (1, None)
    assert "at batch 1;" in headline_table(results).caption
    assert latency_grid(results).column("sequence") == ["-"]


def test_a_failed_gate_marks_its_artifact_and_all_made_from_it_and_says_why() -> None:
    table = headline_table(failed())
    assert table.column("gates") == ["-", "FAILED", "unpublishable", "unpublishable"]
    assert table.notes[-3:] == (
        "student must not be published: accuracy drop against teacher is 1.2 points, the gate says at most 1.0 points",
        "onnx must not be published: it is made from student, whose gate failed",
        "int8 must not be published: it is made from student, whose gate failed",
    )


def test_without_parents_an_unpublishable_artifact_still_gets_a_reason() -> None:
    table = headline_table(changed(failed(), "onnx", parents=()))
    assert "onnx must not be published: it is made from an artifact whose gate failed" in table.notes


def test_only_the_figures_in_doubt_are_marked_and_their_remarks_are_footnotes() -> None:
    table = headline_table(failed())
    assert table.column("p50 ms") == ["22.0", "9.45", "5.40?", "3.18"]
    assert table.column("rows/s") == ["173", "402", "704?", "1,196"]
    assert table.column("speed-up")[2] == "4.07x [3.91, 4.27]"
    assert f"? onnx: throughput {SPREAD}" in table.notes


def test_a_remark_on_a_cell_that_the_headline_does_not_show_is_a_footnote_of_the_latency_table() -> None:
    remark = f"latency at batch 32, sequence 16 {SPREAD}"
    results = changed(demo(), "int8", reliable=False, remarks=(remark,))
    assert headline_table(results).notes == ()
    table = latency_table(results)
    assert table.notes == (f"? int8: {remark}",)
    assert table.column("batch 32 sequence 16")[3] == "25.4? (33.0?)"
    assert table.column("batch 1 sequence 16")[3] == "1.59 (2.07)"


def test_doubt_without_a_named_figure_marks_all_figures_of_speed() -> None:
    results = changed(demo(), "int8", reliable=False, remarks=("another process used the cores",))
    table = headline_table(results)
    assert [table.column(title)[3] for title in ("p50 ms", "rows/s")] == ["3.18?", "1,196?"]
    assert table.notes == ("? int8: another process used the cores",)


def test_a_reference_other_than_the_common_one_is_named() -> None:
    results = changed(demo(), "int8", difference={"accuracy": difference(0.003, "test", "onnx")})
    assert headline_table(results).column("difference")[2:] == [
        "-1.2 [-2.3, -0.1] to teacher",
        "+0.3 [-0.8, +1.4] to onnx",
    ]


def test_what_was_not_measured_is_a_dash() -> None:
    bare: dict[str, Any] = {"metrics": {}, "difference": {}, "latency": (), "speedup": None, "peak_memory_mb": None}
    results = demo(artifacts=(artifact("a", None, 0.9, 100, 20, throughput_per_s=0.0, **bare),), baseline="a", gates=())
    (row,) = headline_table(results).rows
    assert [str(cell) for cell in row] == ["a (baseline)", "as given (torch)", "-", "-", "20.0 (1.00x)", *["-"] * 6]
    assert latency_grid(results).rows == ()


def test_gates_are_in_human_units() -> None:
    gates = (
        gate("accuracy drop against teacher", "max_drop", 0.03, 0.009, True, confident=True),
        gate("size", "max_size_mb", 20, 17.6, True),
        gate("size over teacher", "max_size_ratio", 0.25, 0.194, True),
        gate("p99 latency", "max_p99_ms", 4, 4.13, False),
        gate("speed-up over teacher", "min_speedup", 3, 6.913, True),
    )
    table = gates_table(demo(gates=gates))
    assert table.title == "1 of 5 gates FAILED"
    assert table.column("gate")[0] == "accuracy drop against teacher (validation, 95% bound)"
    assert table.column("value") == ["0.9 points", "17.6 MB", "0.19x", "4.1 ms", "6.91x"]
    assert table.column("bound") == [
        "at most 3.0 points",
        "at most 20.0 MB",
        "at most 0.25x",
        "at most 4.0 ms",
        "at least 3.00x",
    ]
    assert table.column("verdict") == ["passed", "passed", "passed", "FAILED", "passed"]


def test_a_kind_of_gate_from_a_later_version_is_shown_as_it_is() -> None:
    table = gates_table(demo(gates=(gate("energy", "max_joules", 2, 1.5, True),)))
    assert (table.column("value"), table.column("bound")) == (["1.500"], ["bound 2.000"])


def test_the_summary_counts() -> None:
    assert summary(demo()) == "All 3 gates passed"
    assert summary(demo(gates=())) == "No gates"
    assert summary(failed()) == "The gate FAILED"


def test_the_grid_has_every_percentile_of_every_cell() -> None:
    table = latency_grid(demo())
    assert len(table.rows) == 16
    assert [str(cell) for cell in table.rows[13]] == ["int8", "1", "64", "3.18", "3.49", "3.65", "4.13"]


def test_every_metric_is_shown_on_every_split() -> None:
    table = metrics_table(demo())
    assert table.column("split") == ["validation", "test"] * 4
    assert table.column("difference")[2] == "-1.2 [-2.3, -0.1] to teacher"


def test_further_hosts_have_rows_of_their_own() -> None:
    other = Measurement(
        host="h2", runtime="onnxruntime:CUDAExecutionProvider", threads=4, reliable=True, throughput_per_s=9000
    )
    results = changed(demo(hosts={"h1": HOST, "h2": {"cpu": "Other"}}), "int8", measurements=(other,))
    table = hosts_table(results)
    assert table.column("host") == ["AMD EPYC 9R14 96-Core Processor", "Other"]
    assert table.column("runtime") == ["onnxruntime", "onnxruntime CUDA"]
    assert table.column("rows/s") == ["1,196", "9,000"]
    assert hosts_table(demo()).rows == ()


def test_the_host_line_names_cpu_cores_flags_and_versions() -> None:
    assert host_lines(demo()) == [
        "AMD EPYC 9R14 96-Core Processor; 2 of 2 cores used; AVX2, AVX512-VNNI; Linux 6.8; Python 3.11.2, "
        "torch 2.13.0, transformers 4.57.6, onnxruntime 1.32.0"
    ]
    assert host_lines(demo(hosts={"h9": {}})) == ["h9"]


def test_seconds_that_were_not_spent_are_a_dash() -> None:
    table = seconds_table(demo())
    assert (table.column("run"), table.column("measure")) == (["2 m 51 s", "-"], ["12 s", "44 s"])


def _row(name: str) -> tuple[object, ...]:
    return next(row for row in headline_table(demo()).rows if row[0].text == name)
