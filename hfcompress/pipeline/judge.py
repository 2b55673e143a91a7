"""What a recipe gives to stages that search: metrics and times of what they try, on the rows that gates read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hfcompress.artifact import Artifact
from hfcompress.benchmark.session import time_interleaved
from hfcompress.host import default_threads
from hfcompress.pipeline.plan import Plan
from hfcompress.pipeline.predictions import predict_split
from hfcompress.pipeline.score import compare, score
from hfcompress.pipeline.timing import stream, subject_of
from hfcompress.progress import SILENT, Progress
from hfcompress.recipe.data import BenchmarkConfig, Split
from hfcompress.recipe.tasks import Metric
from hfcompress.stage import Score
from hfcompress.tasks.data import Data


@dataclass(frozen=True)
class RecipeJudge:
    """A `Judge` that measures as `run_recipe` does.

    Attributes:
        data: the run's rows.
        split: the one that is read.
        metrics: what is scored.
        benchmark: threads and stream; the latency grid is not run.
        seed: of intervals, of the stream and of samples.
        progress: where long work reports.
    """

    data: Data
    split: Split
    metrics: tuple[Metric, ...]
    benchmark: BenchmarkConfig
    seed: int
    progress: Progress = SILENT

    @classmethod
    def of(cls, plan: Plan, progress: Progress) -> RecipeJudge:
        """The judge of a recipe's stages."""
        recipe = plan.recipe
        return cls(plan.data, recipe.evaluate.gates_on, plan.metrics, recipe.benchmark, recipe.seed, progress)

    def score(self, artifact: Artifact, against: Score | None = None) -> Score:
        """See `Judge.score`."""
        name = artifact.path.name
        answers = predict_split(artifact, self.split, self.data, self.progress, f"{name}: {self.split}")
        metrics = score(answers, self.data, self.metrics, self.split, self.seed)
        if against is None:
            return Score(name, metrics, {}, answers)
        tried = f"{name} (tried)"  # the two may have one name
        both = {tried: answers, against.name: against.answers}
        difference = compare(both, (tried, against.name), self.data, self.metrics, self.split, self.seed)
        return Score(name, metrics, difference, answers)

    def time(self, artifacts: Mapping[str, Artifact]) -> dict[str, list[float]]:
        """See `Judge.time`."""
        subjects = [subject_of(name, artifact, self.data.task) for name, artifact in artifacts.items()]
        batches = stream(self.data, next(iter(artifacts.values())), self.split, self.benchmark, self.seed)
        threads = self.benchmark.threads or default_threads()
        timings = time_interleaved(subjects, [], batches, self.benchmark, threads, self.progress)
        return {name: timing.stream_s for name, timing in timings.items()}

    def batches(self, artifact: Artifact) -> Iterator[dict[str, np.ndarray]]:
        """See `Judge.batches`."""
        processor = self.data.task.load_processor(artifact.path)
        prepared = self.data.prepared(self.split, processor)
        return self.data.batches(prepared, processor, self.data.task.predict_rows)

    def sampled(self, rows: int) -> RecipeJudge:
        """See `Judge.sampled`. Its bars are silent: a search asks it often."""
        return replace(self, data=self.data.sampled(self.split, rows, self.seed), progress=SILENT)
