"""What bundles measured elsewhere, in the results of their run: added, replaced, kept, refused."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hfcompress.errors import InputError
from hfcompress.pipeline.measurements import add_measurements, keep_measurements
from hfcompress.results import Results, read_results, write_results
from tests.report.examples import changed, demo

DIGEST = "a" * 64


def results() -> Results:
    return changed(demo(seed=0), "int8", digest=DIGEST)


def said(**changes: Any) -> dict[str, Any]:
    found = {
        "schema": "hfcompress.measurement/1",
        "artifact": {"name": "int8", "digest": DIGEST, "format": "onnx"},
        "target": "jetson",
        "precision": "fp16",
        "host": {"cpu": "ARMv8", "board": "NVIDIA Jetson Orin NX Developer Kit", "gpus": ["Orin"], "node": "x"},
        "runtime": {"name": "tensorrt", "threads": 8, "versions": {"tensorrt": "10.3.0"}},
        "latency": [{"batch": 1, "sequence": 64, "seconds": [0.001, 0.002, 0.003], "p50_ms": 7.0}],
        "throughput": {"rows": 200, "seconds": [0.1, 0.1, 0.1], "rows_per_s": 1.0},
        "peak_memory_mb": 300.0,
        "split": "validation",
        "accuracy": {"rows": 200, "correct": 170, "won": 2, "lost": 6, "value": 0.85},
        "agreement": {
            "decisions": 200,
            "equal": 192,
            "max_difference": 0.4,
            "rms_difference": 0.02,
            "reference": "onnxruntime:CPUExecutionProvider",
        },
    }
    return {**found, **changes}


def save(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(said(**changes)))
    return path


def test_figures_are_made_of_the_samples_as_those_of_every_artifact(tmp_path: Path) -> None:
    found = add_measurements(results(), [save(tmp_path / "m.json")])
    (measurement,) = found.artifact("int8").measurements
    assert measurement.throughput_per_s == 2000
    assert measurement.latency[0].p50_ms == 2.0
    assert (measurement.runtime, measurement.threads, measurement.precision) == ("tensorrt", 8, "fp16")
    assert "node" not in found.hosts[measurement.host]
    assert found.hosts[measurement.host]["versions"] == {"tensorrt": "10.3.0"}
    assert [a for a in found.artifacts if a.name != "int8"] == [a for a in results().artifacts if a.name != "int8"]
    assert measurement.agreement is not None
    assert measurement.agreement.share == 0.96


def test_intervals_from_counts_are_those_of_a_bootstrap_over_rows(tmp_path: Path) -> None:
    (measurement,) = add_measurements(results(), [save(tmp_path / "m.json")]).artifact("int8").measurements
    accuracy, difference = measurement.metrics["accuracy"], measurement.difference["accuracy"]
    assert (accuracy.value, accuracy.split) == (0.85, "validation")
    assert (difference.value, difference.against) == (pytest.approx(-0.02), "int8")
    rows = np.repeat([1.0, -1.0, 0.0], [2, 6, 192])
    for values, found in ((np.repeat([1.0, 0.0], [170, 30]), accuracy), (rows, difference)):
        drawn = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1))
        assert found.low == pytest.approx(drawn.confidence_interval.low, abs=0.006)
        assert found.high == pytest.approx(drawn.confidence_interval.high, abs=0.006)


def test_samples_that_lie_too_far_apart_are_marked(tmp_path: Path) -> None:
    path = save(tmp_path / "m.json", throughput={"rows": 200, "seconds": [0.1, 0.2, 0.3]})
    (measurement,) = add_measurements(results(), [path]).artifact("int8").measurements
    assert not measurement.reliable
    assert any(remark.startswith("throughput is unreliable") for remark in measurement.remarks)


def test_the_same_host_and_runtime_again_replaces_and_another_one_is_beside_it(tmp_path: Path) -> None:
    first = save(tmp_path / "a.json")
    updated = said()["host"] | {"python": "3.12"}
    again = save(tmp_path / "b.json", host=updated, throughput={"rows": 200, "seconds": [0.05] * 3})
    other = save(tmp_path / "c.json", precision=None)
    threads = save(tmp_path / "d.json", precision=None, runtime={**said()["runtime"], "threads": 1})
    found = add_measurements(results(), [first, again, other, threads]).artifact("int8").measurements
    assert [(m.precision, m.threads, m.throughput_per_s) for m in found] == [
        ("fp16", 8, 4000),
        (None, 8, 2000),
        (None, 1, 2000),
    ]


def test_a_run_again_keeps_what_was_measured_of_artifacts_that_are_the_same(tmp_path: Path) -> None:
    added = add_measurements(results(), [save(tmp_path / "m.json")])
    write_results(added, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == added
    assert keep_measurements(results(), tmp_path / "results.json") == added
    other = changed(results(), "int8", digest="b" * 64)
    assert keep_measurements(other, tmp_path / "results.json") == other
    assert keep_measurements(other, tmp_path / "none.json") == other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"artifact": {"name": "int8", "digest": "c" * 64}},
            "is of the artifact int8 .cccccccccccc., which",
        ),
        ({"schema": "hfcompress.measurement/2"}, "is no measurement of schema hfcompress.measurement/1: schema"),
        ({"latency": [{"batch": 1, "sequence": 8, "seconds": [-1.0]}]}, r"latency\.0\.seconds\.0"),
        ({"throughput": {"rows": 2, "seconds": [float("nan")]}}, r"throughput\.seconds\.0"),
        ({"accuracy": {"rows": 10, "correct": 9, "won": 0, "lost": 3}}, "do not add up"),
        (
            {"accuracy": {"rows": 10**10, "correct": 9, "won": 0, "lost": 3}},
            r"accuracy\.rows: .*less than or equal to 10000000, got 10000000000; copy",
        ),
        (
            {"accuracy": {"rows": 199, "correct": 170, "won": 0, "lost": 0}},
            "accuracy is of 199 rows and throughput of 200",
        ),
        ({"throughput": {"rows": 10**30, "seconds": [1.0]}}, r"throughput\.rows: .*10000000, got 1000"),
        ({"throughput": {"rows": 200, "seconds": [1e-320]}}, r"throughput\.seconds\.0: .*0\.000000001, got 1e-320"),
        ({"latency": [{"batch": 1, "sequence": 8, "seconds": [1e300]}]}, r"latency\.0\.seconds\.0: .*got 1e\+300"),
        ({"agreement": said()["agreement"] | {"decisions": 10**400}}, r"agreement\.decisions"),
        ({"peak_memory_mb": 1e-320 * 0}, "peak_memory_mb"),
        ({"agreement": said()["agreement"] | {"equal": 201}}, "201 of 200 decisions cannot be equal"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        add_measurements(results(), [save(tmp_path / "m.json", **changes)])


ESCAPE = "\x1b]0;owned\x07"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"host": {"cpu": ESCAPE}}, "host.cpu"),
        ({"host": {"cpu": "x", "board": "Orin\nNX"}}, "host.board"),
        ({"host": {"cpu": "x", "gpus": ["\u202eLAUDIV"]}}, "host.gpus.0"),
        ({"host": {"cpu": "x", "flags": {ESCAPE: True}}}, "host.flags."),
        ({"host": {"cpu": "x" * 201}}, "host.cpu"),
        ({"runtime": {"name": ESCAPE, "threads": 1}}, "runtime.name"),
        (
            {"runtime": {"name": "tensorrt", "threads": 1, "versions": {"tensorrt": ESCAPE}}},
            "runtime.versions.tensorrt",
        ),
        ({"precision": ESCAPE}, "precision"),
        ({"artifact": {"name": ESCAPE, "digest": "c" * 64}}, "artifact.name"),
        ({"agreement": said()["agreement"] | {"reference": ESCAPE}}, "agreement.reference"),
    ],
)
def test_what_would_steer_a_terminal_is_refused_and_not_repeated(
    tmp_path: Path, changes: dict[str, Any], where: str
) -> None:
    with pytest.raises(InputError) as error:
        add_measurements(results(), [save(tmp_path / "m.json", **changes)])
    assert f": {where}" in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600


def test_intervals_of_many_rows_take_no_memory_of_their_number(tmp_path: Path) -> None:
    many = {"rows": 10**7, "correct": 9 * 10**6, "won": 1000, "lost": 3000}
    path = save(tmp_path / "m.json", accuracy=many, throughput={"rows": 10**7, "seconds": [1.0]})
    tracemalloc.start()
    (measurement,) = add_measurements(results(), [path]).artifact("int8").measurements
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # reading a file takes 16 MB; two arrays of the rows would take 160
    found = measurement.metrics["accuracy"]
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.9 * 0.1 / 1e7), rel=0.05)


def test_a_torn_or_missing_file_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.json")
    path.write_text(path.read_text()[:100])
    with pytest.raises(InputError, match=r"m\.json is no JSON.*copy it from the machine that measured again"):
        add_measurements(results(), [path])
    with pytest.raises(InputError, match="does not exist; give the measurement"):
        add_measurements(results(), [tmp_path / "none.json"])
