"""Gathers what a report shows beside `results.json`, from what a run left in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from hfcompress.artifact import read_manifest
from hfcompress.benchmark.timings import Timings
from hfcompress.pipeline.folder import RunFolder
from hfcompress.report.evidence import Evidence, Examples, Samples, Training
from hfcompress.results import Results

#: Calls of a cell that a page shows: of more, so many quantiles, which look the same.
_MOST_SAMPLES = 200


def gather_evidence(folder: RunFolder, results: Results) -> Evidence:
    """Losses from the manifests, latencies from the timing session, and the flips that were kept with their rows.

    What is missing is left out: a folder may hold results alone. Reads no data and measures nothing.
    """
    return Evidence(
        recipe=folder.recipe.read_text(encoding="utf-8") if folder.recipe.is_file() else "",
        trainings=tuple(_trainings(folder, results)),
        samples=tuple(_samples(folder, results)),
        examples=_read_examples(folder),
    )


def _trainings(folder: RunFolder, results: Results) -> Iterator[Training]:
    for artifact in results.artifacts:
        manifest = read_manifest(folder.root / artifact.path) if artifact.path is not None else None
        logged = manifest.details.get("losses") if manifest is not None else None
        if logged:
            yield Training(artifact.name, _series(logged))


def _series(logged: list[Mapping[str, Any]]) -> dict[str, tuple[tuple[int, float], ...]]:
    names = dict.fromkeys(name for entry in logged for name in entry if name != "step")
    return {
        name: tuple((int(entry["step"]), float(entry[name])) for entry in logged if name in entry) for name in names
    }


def _samples(folder: RunFolder, results: Results) -> Iterator[Samples]:
    try:
        kept = json.loads(folder.timings.read_text(encoding="utf-8"))["timings"]
        timings = {name: Timings.from_json(timing) for name, timing in kept.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return
    for artifact in results.artifacts:
        if artifact.name in timings:
            for (batch, sequence), seconds in timings[artifact.name].latency_s.items():
                yield Samples(artifact.name, batch, sequence, _milliseconds(seconds))


def _milliseconds(seconds: list[float]) -> tuple[float, ...]:
    import numpy as np

    calls = 1e3 * np.asarray(seconds)
    if len(calls) > _MOST_SAMPLES:
        calls = np.quantile(calls, np.linspace(0, 1, _MOST_SAMPLES))
    return tuple(calls.tolist())


def _read_examples(folder: RunFolder) -> Examples | None:
    try:
        return Examples.model_validate_json(folder.examples.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None
