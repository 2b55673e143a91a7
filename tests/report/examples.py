"""A made-up run with the figures of a real one by hand: a teacher, its 3-layer student, ONNX, INT8."""

from __future__ import annotations

from typing import Any

from hfcompress.results import ArtifactResult, Difference, GateResult, Interval, Latency, Results, StageSeconds

HOST = {
    "cpu": "AMD EPYC 9R14 96-Core Processor",
    "architecture": "x86_64",
    "flags": {"avx2": True, "avx512_vnni": True, "amx_int8": False},
    "cores": 2,
    "memory_gb": 8,
    "os": "Linux 6.8",
    "python": "3.11.2",
    "versions": {"torch": "2.13.0", "transformers": "4.57.6", "onnxruntime": "1.32.0", "onnx": None},
    "gpus": [],
}
SPREAD = "is unreliable: the quartiles of its 30 samples lie 31% of the median apart, above 20%"


def artifact(
    name: str, stage: str | None, accuracy: float, rows: float, size_mb: float, **changes: Any
) -> ArtifactResult:
    """One artifact; everything that is not given follows from these."""
    is_onnx = stage in ("export", "quantize")
    fields: dict[str, Any] = {
        "name": name,
        "stage": stage,
        "format": "onnx" if is_onnx else "torch",
        "path": None if stage is None else f"artifacts/{name}",
        "digest": "0" * 64,
        "size_mb": size_mb,
        "publishable": True,
        "parameters": 22_700_000,
        "host": "h1",
        "runtime": "onnxruntime:CPUExecutionProvider" if is_onnx else "torch",
        "threads": 2,
        "reliable": True,
        "latency": latencies(1900 / rows),
        "throughput_per_s": rows,
        "speedup": rows / 173,
        "speedup_low": rows / 173 * 0.96,
        "speedup_high": rows / 173 * 1.05,
        "peak_memory_mb": 0.9 * size_mb + 380,
        "metrics": {"accuracy": interval(accuracy, 0.0165, "test")},
        "validation": {"accuracy": interval(accuracy + 0.002, 0.0165, "validation")},
        "difference": {"accuracy": difference(accuracy - 0.883, "test")},
        "validation_difference": {"accuracy": difference(accuracy - 0.883, "validation")},
    }
    return ArtifactResult(**(fields | changes))


def interval(value: float, half: float, split: str) -> Interval:
    """Value plus and minus half."""
    return Interval(value=value, low=value - half, high=value + half, split=split)


def difference(value: float, split: str, against: str = "teacher") -> Difference:
    """A difference with an interval of 1.1 points to each side."""
    return Difference(value=value, low=value - 0.011, high=value + 0.011, split=split, against=against)


def latencies(p50_ms: float) -> tuple[Latency, ...]:
    """Batch 1 and 32, sequence 16 and 64; the cell `batch 1, sequence 64` has a p50 of twice `p50_ms`."""
    return tuple(
        Latency(batch=batch, sequence=length, p50_ms=cost, p90_ms=1.1 * cost, p95_ms=1.15 * cost, p99_ms=1.3 * cost)
        for batch in (1, 32)
        for length in (16, 64)
        for cost in (p50_ms * batch**0.8 * (2 if length == 64 else 1),)
    )


def demo(**changes: Any) -> Results:
    """The whole run; all gates passed."""
    fields: dict[str, Any] = {
        "recipe": "sentiment-demo",
        "task": "text-classification",
        "metric": "accuracy",
        "hosts": {"h1": HOST},
        "baseline": "teacher",
        "artifacts": (
            artifact("teacher", "finetune", 0.883, 173, 90.9, speedup_low=1.0, speedup_high=1.0, difference={}),
            artifact("student", "distill", 0.871, 402, 69.6, parents=("teacher",)),
            artifact("onnx", "export", 0.871, 704, 69.7, parents=("student",)),
            artifact("int8", "quantize", 0.874, 1196, 17.6, parents=("onnx",)),
        ),
        "gates": (
            gate("accuracy drop against teacher", "max_drop", 0.03, 0.009, True),
            gate("speed-up over teacher", "min_speedup", 3, 6.913, True),
            gate("not slower than onnx", "not_slower", 1.0, 1.699, True),
        ),
        "hfcompress": "0.1.0",
        "seconds": {"teacher": StageSeconds(run=171.2, measure=12.4), "benchmark": StageSeconds(measure=44)},
    }
    return Results(**(fields | changes))


def gate(name: str, kind: str, bound: float, value: float, passed: bool, **changes: Any) -> GateResult:
    """A verdict on `int8`."""
    fields = {"name": name, "artifact": "int8", "kind": kind, "bound": bound, "value": value, "passed": passed}
    return GateResult(**(fields | changes))


def changed(results: Results, name: str, /, **changes: Any) -> Results:
    """The same results with one artifact changed."""
    return results.model_copy(
        update={
            "artifacts": tuple(
                found.model_copy(update=changes) if found.name == name else found for found in results.artifacts
            )
        }
    )


def failed() -> Results:
    """The run with a student that lost too much: INT8 comes from it; and with a noisy machine."""
    results = demo(gates=(gate("accuracy drop against teacher", "max_drop", 0.01, 0.01204, False, artifact="student"),))
    for name in ("student", "onnx", "int8"):
        results = changed(results, name, publishable=False)
    remarks = (f"latency at batch 1, sequence 64 {SPREAD}", f"throughput {SPREAD}")
    return changed(results, "onnx", reliable=False, remarks=remarks)
