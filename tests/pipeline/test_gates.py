"""Gates: what is judged, on which figure, and what follows from a failure."""

from __future__ import annotations

from typing import Any

import pytest

from hfcompress.benchmark.timings import Timings
from hfcompress.pipeline.gates import Evidence, judge, reference_of, unpublishable
from hfcompress.recipe import Recipe, parse_recipe
from hfcompress.results import ArtifactResult, Difference, GateResult, Interval

STAGES: dict[str, Any] = {
    "teacher": {"finetune": {}},
    "student": {"distill": {}},
    "onnx": {"export": {}},
    "int8": {"quantize": {}},
}


def recipe(*gates: dict[str, Any], stages: dict[str, Any] = STAGES, **changes: Any) -> Recipe:
    made = {"name": "gates", "task": "text-classification", "model": "m", "data": {"path": "d"}, "stages": stages}
    return parse_recipe({**made, "gates": list(gates), **changes})


def artifact(name: str, accuracy: float = 0.9, size_mb: float = 100.0) -> ArtifactResult:
    scored = Interval(value=accuracy, low=accuracy - 0.02, high=accuracy + 0.02, split="validation")
    return ArtifactResult(
        host="h", runtime="torch", threads=2, reliable=True, throughput_per_s=1.0, name=name, stage=None,
        format="torch", path=None, digest="", size_mb=size_mb, parameters=1, validation={"accuracy": scored},
    )  # fmt: skip


def timings(stream: list[float], calls: list[float] | None = None) -> Timings:
    return Timings({(1, 16): calls or [0.010] * 10, (8, 64): [0.050] * 10}, stream, 100, 1.0, "torch", 2)


def evidence(drop: tuple[float, float, float] = (-0.01, -0.025, 0.005), **speeds: Timings) -> Evidence:
    value, low, high = drop
    difference = Difference(value=value, low=low, high=high, split="validation", against="teacher")
    artifacts = {"teacher": artifact("teacher"), "onnx": artifact("onnx"), "int8": artifact("int8", 0.89, 20.0)}
    return Evidence(artifacts, {("int8", "teacher"): {"accuracy": difference}}, speeds, seed=0)


def only(gates: list[GateResult], kind: str) -> GateResult:
    (found,) = [gate for gate in gates if gate.kind == kind]
    return found


@pytest.mark.parametrize(("confident", "value", "passed"), [(False, 0.01, True), (True, 0.025, False)])
def test_a_drop_is_judged_on_its_estimate_or_on_the_worst_of_its_interval(
    confident: bool, value: float, passed: bool
) -> None:
    gate = {"artifact": "int8", "max_drop": {"accuracy": 0.02}, "confident": confident}
    judged = only(judge(recipe(gate), evidence()), "max_drop")
    assert judged.value == pytest.approx(value)
    assert judged.passed is passed
    assert judged.confident is confident


def test_a_gain_passes_every_bound_on_a_drop() -> None:
    judged = only(
        judge(recipe({"artifact": "int8", "max_drop": {"accuracy": 0}}), evidence((0.01, 0.0, 0.02))), "max_drop"
    )
    assert judged.value == pytest.approx(-0.01)
    assert judged.passed


def test_sizes_are_judged_alone_and_as_a_ratio() -> None:
    gates = judge(recipe({"artifact": "int8", "max_size_mb": 19.9, "max_size_ratio": 0.2}), evidence())
    assert not only(gates, "max_size_mb").passed
    assert only(gates, "max_size_ratio").passed


def test_a_speed_up_is_judged_against_the_named_artifact_pass_by_pass() -> None:
    speeds = {"teacher": timings([6.0, 12.0, 6.0]), "onnx": timings([3.0, 6.0, 3.0]), "int8": timings([2.0, 4.0, 2.1])}
    gate = {"artifact": "int8", "against": "onnx", "min_speedup": 1.5}
    assert only(judge(recipe(gate), evidence(**speeds)), "min_speedup").value == pytest.approx(1.5)
    gate["confident"] = True
    judged = only(judge(recipe(gate), evidence(**speeds)), "min_speedup")
    assert judged.value == pytest.approx(3.0 / 2.1)
    assert not judged.passed


def test_a_latency_is_that_of_the_slowest_cell_that_the_gate_selects() -> None:
    speeds = {"teacher": timings([1.0]), "int8": timings([1.0], [0.004] * 9 + [0.008])}
    everywhere = only(judge(recipe({"artifact": "int8", "max_p50_ms": 20}), evidence(**speeds)), "max_p50_ms")
    assert everywhere.value == pytest.approx(50)
    one = {"artifact": "int8", "max_p50_ms": 20, "batch": 1, "sequence": 16}
    grid = {"benchmark": {"batch": [1, 8], "sequence": [16, 64]}}
    assert only(judge(recipe(one, **grid), evidence(**speeds)), "max_p50_ms").value == pytest.approx(4)
    sure = only(judge(recipe({**one, "confident": True}, **grid), evidence(**speeds)), "max_p50_ms")
    assert 4 <= sure.value <= 8


def test_int8_that_is_slower_than_its_source_fails_unless_that_is_allowed() -> None:
    speeds = {"onnx": timings([1.0, 1.0, 1.0]), "int8": timings([1.2, 1.2, 1.2])}
    judged = only(judge(recipe(), evidence(**speeds)), "not_slower")
    assert judged.value == pytest.approx(1 / 1.2)
    assert not judged.passed
    allowed = {**STAGES, "int8": {"quantize": {"allow_slower": True}}}
    assert judge(recipe(stages=allowed), evidence(**speeds)) == []
    elsewhere = {**STAGES, "int8": {"quantize": {"target": "tensorrt", "calibration": {}}}}
    assert judge(recipe(stages=elsewhere), evidence(**speeds)) == []


TRAINED: dict[str, Any] = {
    "teacher": {"finetune": {}},
    "aware": {"qat": {}},
    "onnx": {"from": "teacher", "export": {}},
    "int8": {"from": "aware", "export": {}},
}


def test_int8_that_was_trained_for_is_compared_with_the_export_of_what_it_was_trained_from() -> None:
    speeds = {"teacher": timings([9.0] * 3), "onnx": timings([2.0] * 3), "int8": timings([1.0] * 3)}
    judged = only(judge(recipe(stages=TRAINED), evidence(**speeds)), "not_slower")
    assert (judged.artifact, judged.name, judged.value) == ("int8", "not slower than onnx", 2.0)
    for said in ({"allow_slower": True}, {"target": "tensorrt"}):
        assert judge(recipe(stages={**TRAINED, "aware": {"qat": said}}), evidence(**speeds)) == []


def test_without_such_an_export_it_is_compared_with_what_it_was_trained_from_in_pytorch() -> None:
    alone = {name: stage for name, stage in TRAINED.items() if name != "onnx"}
    speeds = {"teacher": timings([1.0] * 3), "aware": timings([9.0] * 3), "int8": timings([2.0] * 3)}
    judged = only(judge(recipe(stages=alone), evidence(**speeds)), "not_slower")
    assert (judged.name, judged.value, judged.passed) == ("not slower than teacher", 0.5, False)


def test_without_timings_only_accuracy_and_size_are_judged() -> None:
    gate = {"artifact": "int8", "max_drop": {"accuracy": 0.1}, "max_size_mb": 50, "min_speedup": 2, "max_p99_ms": 1}
    assert {judged.kind for judged in judge(recipe(gate), evidence())} == {"max_drop", "max_size_mb"}


def test_what_is_made_from_a_failed_artifact_or_learned_from_it_is_unpublishable() -> None:
    stages = {**STAGES, "other": {"from": "source", "finetune": {}}}
    stages["pupil"] = {"from": "other", "distill": {"teacher": "student"}}
    failed = GateResult(name="", artifact="student", kind="max_drop", bound=0, value=1, passed=False)
    assert unpublishable(recipe(stages=stages), [failed]) == {"student", "onnx", "int8", "pupil"}
    assert unpublishable(recipe(stages=stages), [failed.model_copy(update={"passed": True})]) == set()


def test_a_bound_without_its_own_verdict_makes_unpublishable() -> None:
    gates = [
        {"artifact": "onnx", "max_drop": {"accuracy": 0.1}},
        {"artifact": "onnx", "max_p99_ms": 5},
        {"artifact": "int8", "min_speedup": 2},
    ]
    drop = GateResult(name="", artifact="onnx", kind="max_drop", bound=0.1, value=0, passed=True)
    slow = GateResult(name="", artifact="onnx", kind="max_p99_ms", bound=5, value=1, passed=True)
    fast = GateResult(name="", artifact="int8", kind="min_speedup", bound=2, value=3, passed=True)
    assert unpublishable(recipe(*gates), [drop, slow, fast]) == set()
    assert unpublishable(recipe(*gates), [drop, slow]) == {"int8"}
    assert unpublishable(recipe(*gates), [drop, fast]) == {"onnx", "int8"}
    looser = drop.model_copy(update={"bound": 0.2})
    assert unpublishable(recipe(*gates), [looser, slow, fast]) == {"onnx", "int8"}


def test_the_reference_is_the_gates_else_the_baseline() -> None:
    gated = recipe({"artifact": "int8", "against": "onnx", "max_drop": {"accuracy": 0.1}})
    assert reference_of(gated, "int8") == "onnx"
    assert reference_of(gated, "student") == "teacher"
    assert reference_of(gated, "teacher") is None
