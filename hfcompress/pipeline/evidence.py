"""Gathers what a report shows beside `results.json`, from what a run left in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from hfcompress.artifact import read_manifest
from hfcompress.benchmark.timings import Timings
from hfcompress.models.folder import label_names, read_config
from hfcompress.pipeline.flips import answers_are_private, flips_of
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.predictions import Predictions, read_predictions
from hfcompress.recipe.data import Split
from hfcompress.report.evidence import ArtifactFlips, Evidence, Examples, Samples, Training
from hfcompress.results import ArtifactResult, Results

#: Calls of a cell that a page shows: of more, so many quantiles, which look the same.
_MOST_SAMPLES = 200


def gather_evidence(folder: RunFolder, results: Results) -> Evidence:
    """Losses from the manifests, latencies from the timing session, flips from the predictions, and kept examples.

    What is missing is left out: a folder may hold results alone. Reads no data and measures nothing.
    """
    answers = _answers(folder, results)
    return Evidence(
        recipe=folder.recipe.read_text(encoding="utf-8") if folder.recipe.is_file() else "",
        trainings=tuple(_trainings(folder, results)),
        samples=tuple(_samples(folder, results)),
        flips=gather_flips(folder, results, answers),
        answers_are_private=any(map(answers_are_private, answers.values())),
        examples=_read_examples(folder),
    )


def gather_flips(
    folder: RunFolder, results: Results, answers: Mapping[str, Predictions] | None = None
) -> tuple[ArtifactFlips, ...]:
    """How the answers of every artifact differ from those of its reference, on the split that is reported.

    Args:
        folder: the run folder.
        results: what was measured.
        answers: artifact -> predictions; default: those in the folder.
    """
    answers = _answers(folder, results) if answers is None else answers
    names = _class_names(folder, results)
    # What was given is what the run began with, and no answer of it was lost by compressing.
    pairs = {made.name: _reference(results, made) for made in results.artifacts if made.stage is not None}
    found = (
        flips_of((name, against), answers[name], answers[against], names)
        for name, against in pairs.items()
        if against is not None and name in answers and against in answers
    )
    return tuple(flips for flips in found if flips is not None)


def reported_split(results: Results) -> Split | None:
    """The split of the final figures."""
    splits = [found.split for artifact in results.artifacts for found in artifact.metrics.values()]
    return splits[0] if splits else None  # type: ignore[return-value]


def _answers(folder: RunFolder, results: Results) -> dict[str, Predictions]:
    split = reported_split(results)
    if split is None:
        return {}
    read = {found.name: read_predictions(folder.predictions(found.name, split)) for found in results.artifacts}
    return {name: answers for name, answers in read.items() if answers is not None}


def _reference(results: Results, artifact: ArtifactResult) -> str | None:
    difference = artifact.difference.get(results.metric)
    return None if difference is None else difference.against


def _class_names(folder: RunFolder, results: Results) -> tuple[str, ...]:
    """As the config of an artifact has them; every artifact of a run has the same."""
    for artifact in results.artifacts:
        if artifact.path is not None and (folder.root / artifact.path / "config.json").is_file():
            return label_names(read_config(folder.root / artifact.path))
    return ()


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
