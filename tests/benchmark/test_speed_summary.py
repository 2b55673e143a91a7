"""Figures are computed from samples as the results format says, and doubtful ones are marked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hfcompress.benchmark.summary import speed_of, speedup_over
from hfcompress.benchmark.timings import Timings
from hfcompress.errors import MeasurementError

STEADY = [0.010 + 0.00001 * i for i in range(30)]
BASELINE = Timings({(1, 16): STEADY}, [6.0, 6.1, 6.2, 6.3, 6.1], 512, 500.0, "torch", 2)
FAST = Timings(
    {(1, 16): [second / 4 for second in STEADY], (32, None): STEADY},
    [1.0, 1.02, 1.03, 1.05, 1.01],
    512,
    80.0,
    "onnxruntime:CPUExecutionProvider",
    2,
)


def test_latencies_are_percentiles_in_milliseconds() -> None:
    cell, images = speed_of(FAST, BASELINE, "host", seed=0).latency
    assert (cell.batch, cell.sequence, images.batch, images.sequence) == (1, 16, 32, None)
    found = [cell.p50_ms, cell.p90_ms, cell.p95_ms, cell.p99_ms]
    np.testing.assert_allclose(found, 1000 * np.percentile(FAST.latency_s[1, 16], [50, 90, 95, 99]))


def test_throughput_is_rows_over_the_median_pass() -> None:
    speed = speed_of(FAST, None, "host", seed=0)
    assert speed.throughput_per_s == pytest.approx(512 / 1.02)
    assert (speed.speedup, speed.speedup_low, speed.speedup_high) == (None, None, None)


def test_speed_up_is_the_median_of_the_ratios_pass_by_pass() -> None:
    speed = speed_of(FAST, BASELINE, "host", seed=0)
    ratios = np.array(BASELINE.stream_s) / np.array(FAST.stream_s)
    assert speed.speedup == np.median(ratios)
    assert speed.speedup_low is not None
    assert speed.speedup_high is not None
    assert ratios.min() <= speed.speedup_low <= speed.speedup <= speed.speedup_high <= ratios.max()


def test_the_baseline_is_once_as_fast_as_itself() -> None:
    speed = speed_of(BASELINE, BASELINE, "host", seed=0)
    assert (speed.speedup, speed.speedup_low, speed.speedup_high) == (1.0, 1.0, 1.0)


def test_steady_samples_are_reliable_and_carry_no_remark() -> None:
    speed = speed_of(FAST, BASELINE, "host", seed=0)
    assert (speed.reliable, speed.remarks) == (True, ())
    assert (speed.host, speed.runtime, speed.threads) == ("host", "onnxruntime:CPUExecutionProvider", 2)
    assert speed.peak_memory_mb == 80.0


def test_what_else_a_reader_should_know_is_a_remark_and_no_doubt() -> None:
    speed = speed_of(FAST, BASELINE, "host", 0, ("made for tensorrt",))
    assert (speed.reliable, speed.remarks) == (True, ("made for tensorrt",))


def test_a_few_slow_calls_do_not_make_a_figure_unreliable() -> None:
    assert speed_of(replace(FAST, latency_s={(1, 16): [*STEADY, 1.0, 2.0]}), BASELINE, "host", seed=0).reliable


def test_an_unsteady_cell_is_marked_and_named_and_kept() -> None:
    unsteady = replace(FAST, latency_s={(1, 16): STEADY, (32, 64): [0.01, 0.02, 0.03, 0.04, 0.05]})
    speed = speed_of(unsteady, BASELINE, "host", seed=0)
    assert not speed.reliable
    assert speed.remarks == (
        "latency at batch 32, sequence 64 is unreliable: the quartiles of its 5 samples lie 67% of the median apart, "
        "above 20%",
    )
    assert len(speed.latency) == 2


def test_an_unsteady_stream_is_marked_but_not_the_ratio_that_load_does_not_move() -> None:
    load = [1.0, 1.5, 2.0, 2.5, 3.0]
    slow = replace(BASELINE, stream_s=[6 * value for value in load])
    speed = speed_of(replace(FAST, stream_s=load), slow, "host", seed=0)
    assert speed.speedup == 6.0
    assert [remark.split(" is ")[0] for remark in speed.remarks] == ["throughput"]


def test_equal_seeds_give_equal_figures() -> None:
    assert speed_of(FAST, BASELINE, "host", seed=3) == speed_of(FAST, BASELINE, "host", seed=3)


@pytest.mark.parametrize(
    "changed, what",
    [({"threads": 4}, "2 threads"), ({"stream_rows": 100}, "512 rows"), ({"stream_s": [1.0]}, "5 passes")],
)
def test_a_speed_up_over_another_session_is_refused(changed: dict[str, int], what: str) -> None:
    with pytest.raises(MeasurementError, match=f"baseline has {what}.*time both in one session"):
        speedup_over(BASELINE, replace(FAST, **changed), seed=0)
