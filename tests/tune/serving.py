"""Serving files made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfcompress.artifact import digest_of, hash_folder, model_digest
from hfcompress.host import describe_host, host_id
from hfcompress.results.serving import Chosen, Goal, ServedBatches, ServedSettings, Serving, Tried


def serving_of(artifact: Path, runtime: str = "torch", **changes: Any) -> Serving:
    """One of an artifact on this host: two threads for latency, one thread in each of two streams for throughput."""
    files, host = hash_folder(artifact), describe_host()
    latency = chosen("latency", ServedSettings(runtime=runtime, threads=2, streams=1, precision=None))
    throughput = chosen("throughput", ServedSettings(runtime=runtime, threads=1, streams=2, precision=None))
    fields: dict[str, Any] = {
        "artifact": artifact.name,
        "digest": digest_of(files),
        "model_digest": model_digest(files),
        "task": "text-classification",
        "format": "torch",
        "host": host_id(host),
        "description": host.model_dump(mode="json"),
        "cores": 2,
        "rows": 64,
        "mean_tokens": 12.5,
        "exhaustive": False,
        "latency": latency,
        "throughput": throughput,
        "tried": tuple(Tried(**each.model_dump(include=set(Tried.model_fields))) for each in (latency, throughput)),
    }
    return Serving(**fields | changes)


def chosen(goal: Goal, settings: ServedSettings) -> Chosen:
    """A winner."""
    return Chosen(
        goal=goal,
        settings=settings,
        batching=ServedBatches(rows=8, tokens=64, sort=True),
        passes=7,
        throughput_per_s=2000.0,
        p50_ms=1.5,
        p99_ms=3.0,
        speedup=2.0,
        speedup_low=1.9,
        speedup_high=2.2,
        default_p50_ms=3.0,
        default_p99_ms=7.0,
    )
