"""Accuracy-aware fallback: the costliest layers return to floating point, one by one, until the metrics hold."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hfcompress.artifact import Artifact
from hfcompress.errors import StageError
from hfcompress.quantize.ranking import Quantize, Ranking
from hfcompress.recipe.quantization import Fallback
from hfcompress.results import FallbackResult, FallbackStep, RankedLayer
from hfcompress.stage import Run, Score

#: Rows of validation that layers are ranked on.
RANKING_ROWS = 256
#: Artifacts that are timed in one session, beside the source: all of them are in memory at once.
_TIMED_AT_ONCE = 6


def fall_back(
    fallback: Fallback, source: Artifact, quantize: Quantize, run: Run, runtime: str | None = None
) -> FallbackResult:
    """Leave in `run.out` INT8 that loses no more than `max_drop` against its source, and say what that took.

    First everything is quantized; where that holds, nothing is returned. Else the costliest layer returns, then the
    next one too, and so on (Wu et al. 2020, section 5.2; NNCF and Intel Neural Compressor search in this way); each
    time the metrics are measured anew. When they hold, each of the others is tried in INT8 again, cheapest first, so
    that none is in floating point for nothing.

    Args:
        fallback: the budget.
        source: the float model that `quantize` quantizes.
        quantize: writes its INT8 model into a folder, but for the nodes that it is given.
        run: the stage's; its judge measures.
        runtime: what runs the INT8 model, where it is not the format's own.

    Raises:
        StageError: the budget does not hold with `max_layers` returned, or with all of them but one; says how far it
            came, with which layers.
    """
    with TemporaryDirectory(dir=run.work) as work:
        search = _Search(fallback, source, quantize, run, Path(work), runtime)
        search.take(search.tried(()))
        ranking = [] if search.holds(search.steps[0]) else search.return_layers()
        shutil.copytree(search.steps[-1].artifact.path, run.out, dirs_exist_ok=True)
        return search.result(ranking)


@dataclass(frozen=True)
class _Step:
    """What was tried: which layers were returned, and what came of it."""

    returned: tuple[str, ...]
    artifact: Artifact
    score: Score


@dataclass
class _Search:
    """The steps so far."""

    fallback: Fallback
    source: Artifact
    quantize: Quantize
    run: Run
    work: Path
    runtime: str | None
    steps: list[_Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reference = self.run.score(self.source)

    def tried(self, returned: tuple[str, ...]) -> _Step:
        """The model with these layers returned, and its score."""
        folder = self.work / f"returned-{len(returned)}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.quantize(folder, returned)
        artifact = Artifact(folder, "onnx", {"runtime": self.runtime})
        return _Step(returned, artifact, self.run.score(artifact, self.reference))

    def take(self, step: _Step) -> None:
        """Keep a step, and say what it is."""
        kept = self.work / f"step-{len(self.steps)}"
        step.artifact.path.rename(kept)
        self.steps.append(_Step(step.returned, replace(step.artifact, path=kept), step.score))
        verdict = "within the budget" if self.holds(step) else "over the budget"
        count = len(step.returned)
        self.run.progress.say(
            f"{self.run.name}: {count} {'layer' if count == 1 else 'layers'} in floating point: "
            f"{self.changes(step)}: {verdict}"
        )

    def return_layers(self) -> list[RankedLayer]:
        """Return layers until the budget holds; gives the ranking."""
        judge = self.run.judge.sampled(RANKING_ROWS)
        ranking = Ranking(self.source, self.steps[0].artifact, self.quantize, judge, self.work)
        # With every layer returned the model would be its source.
        most = min(self.fallback.max_layers or len(ranking.layers), len(ranking.layers) - 1)
        layers = ranking.costliest_first()
        while not self.holds(self.steps[-1]):
            if len(self.steps) > most:
                raise self.failure(len(ranking.layers))
            self.take(self.tried((*self.steps[-1].returned, next(layers))))
        self.quantize_again()
        return ranking.layers

    def quantize_again(self) -> None:
        """Try without each of the returned layers but the last, which was needed; the cheapest first."""
        for layer in reversed(self.steps[-1].returned[:-1]):
            fewer = self.tried(tuple(other for other in self.steps[-1].returned if other != layer))
            if self.holds(fewer):
                self.take(fewer)

    def holds(self, step: _Step) -> bool:
        """Whether no metric has lost more than its budget."""
        return self.excess(step) <= 0

    def excess(self, step: _Step) -> float:
        """The most that any metric has lost beyond its budget."""
        return max(-step.score.difference[metric].value - bound for metric, bound in self.fallback.max_drop.items())

    def changes(self, step: _Step) -> str:
        """What became of the metrics, in points: `accuracy -1.20 points (budget -0.30)`."""
        return ", ".join(
            f"{metric} {100 * step.score.difference[metric].value:+.2f} points (budget {-100 * bound:+.2f})"
            for metric, bound in self.fallback.max_drop.items()
        )

    def failure(self, layers: int) -> StageError:
        """Everything that was allowed is returned, and it was not enough."""
        best = min(self.steps, key=self.excess)
        tried = len(self.steps) - 1
        why = "which is max_layers" if tried == self.fallback.max_layers else "all but one of the quantized ones"
        what = ", ".join(best.returned) or "none"
        return StageError(
            f"the fallback returned {tried} of {layers} layers to floating point, {why}, and the budget does not hold; "
            f"best reached: {self.changes(best)}, with {len(best.returned)} returned: {what}; raise max_layers or "
            "max_drop, choose another calibration, or train for INT8 with a `qat` stage"
        )

    def result(self, ranking: Sequence[RankedLayer]) -> FallbackResult:
        """The record; times every step."""
        return FallbackResult(
            max_drop=dict(self.fallback.max_drop),
            steps=tuple(
                FallbackStep(
                    returned=step.returned,
                    metrics=dict(step.score.metrics),
                    difference=dict(step.score.difference),
                    speedup=speedup,
                )
                for step, speedup in zip(self.steps, self.speedups(), strict=True)
            ),
            ranking=tuple(ranking),
            rows=RANKING_ROWS,
        )

    def speedups(self) -> Iterator[float]:
        """The throughput of every step over the source's, each from a session with the source in it."""
        for start in range(0, len(self.steps), _TIMED_AT_ONCE):
            some = {step.artifact.path.name: step.artifact for step in self.steps[start : start + _TIMED_AT_ONCE]}
            seconds = self.run.time({"source": self.source, **some})
            for name in some:
                yield float(np.median(np.divide(seconds["source"], seconds[name])))
