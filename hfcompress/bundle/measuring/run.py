"""Measures this bundle on the machine where it lies, and writes measurement.json beside measure.py.

    python3 measure.py [--threads N] [--provider NAME] [--out FILE]

Needs Python 3.10 or newer, numpy, and the one runtime of bundle.json: `onnxruntime`, `openvino`, or TensorRT's Python
bindings (`tensorrt`) with the GPU's driver and the engine that build.sh built here. Nothing of hfcompress.

In this order: every file against SHA256SUMS; peak memory of one pass over the sample; the latency of single calls of
fixed sizes; throughput on the sample, sorted by length, in batches; then accuracy, and agreement with the answers that
travel along. A call takes arrays of the host and gives arrays of the host: copies to a GPU and back are in its time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from .answers import judge
from .batches import Packed
from .checksums import verify
from .failures import RefusedError, refusing
from .host import describe_host, peak_memory_mb, usable_cores
from .onnx_runtime import CPU, OnnxRuntime
from .open_vino import OpenVino
from .speed import latency, time_grid, time_stream
from .tensor_rt import TensorRt

SCHEMA = "hfcompress.measurement/1"
RUNTIMES: dict[str, Callable[..., Any]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "tensorrt": TensorRt}


def measure(folder: Path, threads: int, provider: str | None) -> dict[str, Any]:
    """Everything that measurement.json says. A provider of None is the CPU; TensorRT has no choice."""
    verify(folder)
    bundle = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    if bundle["runtime"] == "tensorrt" and provider is not None:
        raise RefusedError(f"an engine of TensorRT runs on its GPU and not on {provider}; leave --provider out")
    runtime = RUNTIMES[bundle["runtime"]](folder, bundle, threads, CPU if provider is None else provider)
    sample, grid, reference = (Packed(folder / f"{name}.npz") for name in ("sample", "grid", "reference"))
    benchmark = bundle["benchmark"]
    with refusing(f"{bundle['runtime']} cannot run {bundle['model']}", runtime.failures):
        time_stream(runtime, sample)  # warms up; and its memory is that of serving, which the grid's sizes may exceed
        memory = peak_memory_mb()
        calls = time_grid(runtime, grid, benchmark)
        passes = [time_stream(runtime, sample) for _ in range(benchmark["passes"])]
        tally = judge(runtime, bundle, sample, reference)
    return {
        "schema": SCHEMA,
        "artifact": bundle["artifact"],
        "target": bundle["target"],
        "precision": bundle["precision"],
        "host": describe_host(runtime.gpus),
        "runtime": {
            "name": runtime.name,
            "threads": runtime.threads,
            "versions": {**runtime.versions, "numpy": np.__version__},
        },
        "latency": [latency(cell, calls[cell["name"]]) for cell in benchmark["grid"]],
        "throughput": {
            "rows_per_s": bundle["rows"] / float(np.median(passes)),
            "rows": bundle["rows"],
            "seconds": passes,
        },
        "peak_memory_mb": memory,
        "split": bundle["split"],
        "accuracy": tally.accuracy() if bundle["metric"] == "accuracy" else None,
        "agreement": {**tally.agreement(), "reference": bundle["reference"]["runtime"]},
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """For people."""
    artifact, runtime, host = found["artifact"], found["runtime"], found["host"]
    where = host.get("board") or ", ".join(host["gpus"]) or host["cpu"]
    yield f"{artifact['name']} in {runtime['name']} on {where}, {runtime['threads']} threads"
    for cell in found["latency"]:
        size = f"batch {cell['batch']}" + ("" if cell["sequence"] is None else f", sequence {cell['sequence']}")
        figures = "  ".join(f"p{p} {cell[f'p{p}_ms']:.2f}" for p in (50, 90, 95, 99))
        yield f"  latency, {size}: {figures} ms"
    yield f"  throughput: {found['throughput']['rows_per_s']:,.0f} rows/s on {found['throughput']['rows']} rows"
    yield f"  peak memory: {found['peak_memory_mb']:,.0f} MB"
    if found["accuracy"] is not None:
        counts = found["accuracy"]
        of = f"{counts['correct']} of {counts['rows']} rows of {found['split']}"
        yield f"  accuracy: {100 * counts['value']:.1f} ({of})"
    agreed = found["agreement"]
    yield (
        f"  agreement with {agreed['reference']}: {100 * agreed['share']:.1f}% of {agreed['decisions']} decisions; "
        f"outputs differ by {agreed['max_difference']:.2g} at most, {agreed['rms_difference']:.2g} rms"
    )


def check_out(out: Path) -> None:
    """Refuse, before anything is measured, a file that could not be written after it."""
    if os.path.isdir(out):
        raise RefusedError(f"{out} is a folder; name a file with --out")
    with temporary(out) as beside:
        beside.touch()


def write(found: dict[str, Any], out: Path) -> None:
    """The file, whole or not at all."""
    with temporary(out) as beside:
        beside.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(beside, out)


@contextmanager
def temporary(out: Path) -> Iterator[Path]:
    """A file beside `out` that is gone afterwards; refuses in one line where none can be written."""
    beside = out.with_name(f".{out.name}.tmp")
    try:
        yield beside
    except OSError as error:
        raise RefusedError(f"{out} cannot be written ({error.strerror}); name another file with --out") from error
    finally:
        with suppress(OSError):
            beside.unlink()


def main(folder: Path, arguments: list[str] | None = None) -> int:
    """Measure, print, write; 0, or 2 where the bundle cannot be measured here."""
    parser = argparse.ArgumentParser(description="Measure this bundle on this machine.")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="cores of a call; default: all")
    parser.add_argument("--provider", help="ONNX Runtime: the execution provider; OpenVINO: the device; default: CPU")
    parser.add_argument("--out", type=Path, default=folder / "measurement.json", help="default: measurement.json here")
    chosen = parser.parse_args(arguments)
    try:
        check_out(chosen.out)
        found = measure(folder, max(1, chosen.threads), chosen.provider)
        print("\n".join(lines(found)))
        write(found, chosen.out)
    except RefusedError as error:
        print(f"measure.py: {error}", file=sys.stderr)
        return 2
    print(f"wrote {chosen.out.name}; where the run is: hfcompress report RUN --add {chosen.out.name}")
    return 0
