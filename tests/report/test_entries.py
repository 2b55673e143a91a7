"""What other machines measured, beside what the run did: rows, points, and where a plot has them."""

from __future__ import annotations

from typing import Any

from hfcompress.report.detail import hosts_table, latency_grid
from hfcompress.report.entries import entries, machine_names
from hfcompress.report.html import html_report
from hfcompress.report.pareto import front_of, points_of
from hfcompress.report.table import headline_table
from hfcompress.results import Agreement, Measurement, Results
from tests.report.evidence import reported
from tests.report.examples import HOST, changed, demo, difference, interval, latencies

JETSON = {"board": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit", "gpus": ["Orin"], "power_mode": "MAXN"}


def there(host: str, runtime: str, rows: float, **changes: Any) -> Measurement:
    fields: dict[str, Any] = {
        "threads": 8,
        "reliable": True,
        "latency": latencies(0.5),
        "metrics": {"accuracy": interval(0.91, 0.04, "validation")},
        "difference": {"accuracy": difference(-0.02, "validation", "int8")},
        "agreement": Agreement(
            reference="onnxruntime:CPUExecutionProvider",
            decisions=256,
            equal=250,
            max_difference=0.4,
            rms_difference=0.02,
        ),
        "rows": 256,
    }
    return Measurement(host=host, runtime=runtime, throughput_per_s=rows, **(fields | changes))


def measured(*found: Measurement) -> Results:
    hosts = {"h1": HOST, "h2": JETSON, "h3": JETSON | {"power_mode": "15W"}}
    return changed(demo(hosts=hosts), "int8", measurements=found)


def test_machines_are_called_by_their_board_gpu_or_cpu_in_few_words() -> None:
    assert machine_names(demo(hosts={"a": HOST, "b": JETSON, "c": {"gpus": ["NVIDIA L4"], "cpu": "x"}, "d": {}})) == {
        "a": "AMD EPYC 9R14",
        "b": "NVIDIA Jetson Orin NX MAXN",
        "c": "NVIDIA L4",
        "d": "d",
    }


def test_a_measurement_has_a_row_below_its_artifact_and_says_against_what() -> None:
    table = headline_table(measured(there("h2", "tensorrt", 5000)))
    assert table.column("model")[-2:] == ["int8", "int8 @ NVIDIA Jetson Orin NX MAXN"]
    row = dict(zip((str(column) for column in table.columns), map(str, table.rows[-1]), strict=True))
    assert row["made by"] == "bundle (tensorrt)"
    assert row["accuracy"] == "91.0 [87.0, 95.0]"
    assert row["difference"] == "-2.0 [-3.1, -0.9] to int8"
    assert (row["rows/s"], row["speed-up"], row["gates"]) == ("5,000", "-", "-")
    assert "@: measured by a bundle on that machine" in table.caption
    assert "@" not in headline_table(demo()).caption
    assert latency_grid(measured(there("h2", "tensorrt", 5000))).column("model").count(table.rows[-1][0].text) == 4


def test_two_of_one_machine_are_told_apart() -> None:
    found = (there("h2", "tensorrt", 1), there("h2", "onnxruntime:CPUExecutionProvider", 2, precision="fp16"))
    assert [entry.name for entry in entries(measured(*found))][-2:] == [
        "int8 @ NVIDIA Jetson Orin NX MAXN, tensorrt",
        "int8 @ NVIDIA Jetson Orin NX MAXN, onnxruntime fp16",
    ]
    devices = (there("h2", "onnxruntime:CPUExecutionProvider", 1), there("h2", "onnxruntime:CUDAExecutionProvider", 2))
    assert [entry.name for entry in entries(measured(*devices))][-2:] == [
        "int8 @ NVIDIA Jetson Orin NX MAXN, onnxruntime:CPUExecutionProvider",
        "int8 @ NVIDIA Jetson Orin NX MAXN, onnxruntime:CUDAExecutionProvider",
    ]
    threads = (there("h2", "openvino:CPU", 1), there("h2", "openvino:CPU", 2, threads=1))
    assert [entry.name for entry in entries(measured(*threads))][-2:] == [
        "int8 @ NVIDIA Jetson Orin NX MAXN, openvino:CPU, 8 threads",
        "int8 @ NVIDIA Jetson Orin NX MAXN, openvino:CPU, 1 threads",
    ]
    modes = [entry.name for entry in entries(measured(there("h2", "tensorrt", 1), there("h3", "tensorrt", 2)))][-2:]
    assert modes == ["int8 @ NVIDIA Jetson Orin NX MAXN", "int8 @ NVIDIA Jetson Orin NX 15W"]
    same = demo(hosts={"h1": HOST, "h2": JETSON, "h3": JETSON})
    both = changed(same, "int8", measurements=(there("h2", "tensorrt", 1), there("h3", "tensorrt", 2)))
    assert [entry.name for entry in entries(both)][-1] == "int8 @ NVIDIA Jetson Orin NX MAXN (h3)"


def test_the_hosts_table_has_what_answers_lost() -> None:
    table = hosts_table(measured(there("h2", "tensorrt", 5000, precision="fp16")))
    assert table.column("host")[-1] == "NVIDIA Jetson Orin NX Engineering Reference Developer Kit (MAXN)"
    assert table.column("runtime") == ["onnxruntime", "tensorrt fp16"]
    assert table.column("equal answers") == ["-", "97.7% of 256"]
    assert table.column("outputs differ") == ["-", "0.40 (0.02)"]


def test_a_plot_moves_the_artifact_by_the_paired_difference_and_leaves_it_out_of_the_front() -> None:
    results = measured(there("h2", "tensorrt", 5000))
    points = points_of(results)
    (point,) = [point for point in points if point.elsewhere]
    int8 = results.artifact("int8").metrics["accuracy"]
    assert round(point.score - 100 * int8.value, 6) == -2.0
    assert round(point.low - 100 * int8.low, 6) == -3.1
    assert (point.name, point.label) == ("int8 @ NVIDIA Jetson Orin NX MAXN", "97.7% equal answers")
    assert point not in front_of(results, points)
    alone = points_of(measured(there("h2", "tensorrt", 5000, difference={}, metrics={}, agreement=None)))[-1]
    assert (alone.score, alone.label) == (100 * int8.value, "")


def test_the_page_filters_rows_of_other_machines_by_their_own_host() -> None:
    results = demo(hosts={"h1": HOST, "h2": JETSON})
    results = changed(results, "int8", measurements=(there("h2", "tensorrt", 5000),))
    page = html_report([reported(results)]).decode()
    row = page.split('data-name="int8 @ NVIDIA Jetson Orin NX MAXN"')[1].split(">")[0]
    assert f'data-host="{JETSON["board"]}"' in row
    assert f"<option>{JETSON['board']}</option>" in page
