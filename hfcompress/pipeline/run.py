"""Runs a whole recipe: every stage, every measurement, the gates, the results and the report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hfcompress._version import __version__
from hfcompress.artifact import model_bytes, sha256_of
from hfcompress.benchmark.session import Timings
from hfcompress.benchmark.size import integer_operators, parameters
from hfcompress.benchmark.summary import speed_of
from hfcompress.distributed.world import join
from hfcompress.host import describe_host, host_id
from hfcompress.pipeline.build import Made, Options, build, outside
from hfcompress.pipeline.evidence import gather_evidence
from hfcompress.pipeline.examples import keep_examples
from hfcompress.pipeline.flips import count_flips
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.follow import follow
from hfcompress.pipeline.gates import Evidence, judge, marked, reference_of
from hfcompress.pipeline.lead import Lead, leading
from hfcompress.pipeline.measurements import keep_measurements
from hfcompress.pipeline.plan import Plan, make_plan, needed_bytes
from hfcompress.pipeline.predictions import Predictions, predict_split, read_predictions, write_predictions
from hfcompress.pipeline.provenance import data_source, source_models
from hfcompress.pipeline.score import compare, score
from hfcompress.pipeline.timing import timings_of
from hfcompress.progress import SILENT, Progress
from hfcompress.quantize.targets import target_remarks
from hfcompress.recipe.data import Split
from hfcompress.recipe.graph import inputs_of
from hfcompress.recipe.loader import dump_recipe, load_recipe, recipe_sha256
from hfcompress.recipe.recipe import SOURCE, Recipe
from hfcompress.report.gates import in_units
from hfcompress.report.write import write_report
from hfcompress.results import (
    ArtifactResult,
    Difference,
    Interval,
    Results,
    StageSeconds,
    write_results,
)

#: Where runs go unless something else is said.
RUNS = Path("runs")


def run_recipe(
    recipe: Recipe | Path | str,
    *,
    out: Path | None = None,
    options: Options = Options(),
    progress: Progress = SILENT,
) -> Results:
    """Run a recipe, or go on with a run that was killed; what is done and unchanged is taken from the run folder.

    Under `accelerate launch` or torchrun every process calls it: all of them train, rank 0 does everything else and
    the others wait for it.

    Args:
        recipe: a recipe, or the path of one.
        out: the run folder; default: `runs/<recipe name>`.
        options: what to do again, what to leave behind.
        progress: where progress goes.

    Returns:
        The results, in every process; they are in the run folder too, with the tables and the plot. Whether the gates
        passed is `results.passed`.

    Raises:
        InputError: the recipe, the model, the data or the folder cannot be used; nothing was run.
        StageError: a stage failed; what was made before it is kept.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    folder, world = RunFolder(RUNS / recipe.name if out is None else out), join()
    if world.rank > 0:
        return follow(recipe, folder, options, world)
    with leading(world) as lead:
        plan = make_plan(recipe, trust_remote_code=options.trust_remote_code)
        folder.create(needed_bytes(plan))
        with folder.locked():
            folder.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
            lead.begin(folder)
            results = _Run(plan, folder, options, progress, lead).finish()
        lead.end(results)
        return results


_Scores = tuple[dict[str, Interval], dict[str, Difference]]


@dataclass
class _Run:
    """One pass over a plan, and what it has found so far."""

    plan: Plan
    folder: RunFolder
    options: Options
    progress: Progress
    lead: Lead
    made: dict[str, Made] = field(default_factory=dict)
    answers: dict[Split, dict[str, Predictions]] = field(default_factory=dict)
    scored: dict[tuple[str, str | None, Split], _Scores] = field(default_factory=dict)
    seconds: dict[str, StageSeconds] = field(default_factory=dict)

    def finish(self) -> Results:
        """Everything, in order."""
        recipe = self.plan.recipe
        self.made.update(outside(self.plan))
        if self.plan.measures_source:
            self._measure(SOURCE, recipe.evaluate.gates_on)
        for name in self.plan.order:
            self.made[name] = self._build(name)
            self._count(name, run=self.made[name].seconds)
            self._measure(name, recipe.evaluate.gates_on)
            self._say_early_gates(name)
        for name in self.plan.artifacts:  # the report's split is read now, when nothing can be chosen by it any more
            self._measure(name, recipe.evaluate.report_on)
        with self._clock("benchmark"):
            timings = self._timings()
        with self._clock("report"):
            results = keep_measurements(self._results(timings), self.folder.results)
            keep_examples(self.folder, results, self.plan.data, self.plan.recipe.evaluate.report_on)
            write_report(results, self.folder.root, gather_evidence(self.folder, results))
        results = results.model_copy(update={"seconds": dict(self.seconds)})
        write_results(results, self.folder.results)
        return results

    def _build(self, name: str) -> Made:
        return build(self.plan, name, self.made, self.folder, self.options, self.progress, self.lead)

    @contextmanager
    def _clock(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._count(name, measure=time.perf_counter() - started)

    def _count(self, name: str, *, run: float = 0.0, measure: float = 0.0) -> None:
        before = self.seconds.get(name, StageSeconds())
        self.seconds[name] = StageSeconds(run=before.run + run, measure=before.measure + measure)

    def _measure(self, name: str, split: Split) -> None:
        if name in self.answers.setdefault(split, {}):
            return
        with self._clock(name):
            made, data = self.made[name], self.plan.data
            key = sha256_of(
                {
                    "artifact": made.digest,
                    "runtime": made.artifact.runtime,
                    **data.identity(split),
                    "host": host_id(describe_host()),
                }
            )
            path = self.folder.predictions(name, split)
            found = None if self.options.fresh else read_predictions(path, key)
            if found is None:
                found = predict_split(made.artifact, split, data, self.progress, f"{name}: {split}")
                write_predictions(found, path, key)
            self.answers[split][name] = found

    def _say_early_gates(self, name: str) -> None:
        with self._clock(name):
            names = [known for known in self.plan.artifacts if known in self.answers[self._gates_on]]
            results = [self._result(known, {}) for known in names]
            for gate in judge(self.plan.recipe, self._evidence(results, {})):
                if gate.artifact == name:
                    value, bound = in_units(gate)
                    verdict = "passed" if gate.passed else "FAILED"
                    self.progress.say(f"{name}: gate {verdict}: {gate.name} {value} (bound {bound})")

    def _timings(self) -> dict[str, Timings]:
        measured = {name: self.made[name] for name in self.plan.artifacts}
        recipe, path = self.plan.recipe, self.folder.timings
        if self.options.fresh:
            path.unlink(missing_ok=True)
        return timings_of(measured, self.plan.data, self._gates_on, recipe.benchmark, recipe.seed, path, self.progress)

    @property
    def _gates_on(self) -> Split:
        return self.plan.recipe.evaluate.gates_on

    def _results(self, timings: Mapping[str, Timings]) -> Results:
        recipe = self.plan.recipe
        artifacts = [self._result(name, timings) for name in self.plan.artifacts]
        gates = judge(recipe, self._evidence(artifacts, timings))
        return Results(
            recipe=recipe.name,
            task=recipe.task,
            models=source_models(self.plan),
            data=data_source(self.plan),
            seed=recipe.seed,
            recipe_sha256=recipe_sha256(dump_recipe(recipe)),
            hfcompress=__version__,
            metric=self.plan.metrics[0],
            hosts={host_id(describe_host()): describe_host().model_dump(mode="json")},
            baseline=recipe.baseline_name,
            artifacts=marked(recipe, artifacts, gates),
            gates=tuple(gates),
        )

    def _evidence(self, artifacts: list[ArtifactResult], timings: Mapping[str, Timings]) -> Evidence:
        recipe, known = self.plan.recipe, {artifact.name: artifact for artifact in artifacts}
        pairs = {
            (gate.artifact, gate.against or recipe.baseline_name)
            for gate in recipe.gates
            if gate.max_drop or gate.max_rise
        }
        differences = {
            (name, against): self._scores(name, against, self._gates_on)[1]
            for name, against in pairs
            if name != against and {name, against} <= set(known)
        }
        return Evidence(known, differences, timings, recipe.seed)

    def _result(self, name: str, timings: Mapping[str, Timings]) -> ArtifactResult:
        recipe, made = self.plan.recipe, self.made[name]
        against, evaluate = reference_of(recipe, name), recipe.evaluate
        scored = {split: self._scores(name, against, split) for split in (evaluate.gates_on, evaluate.report_on)}
        (validation, validation_difference), (metrics, difference) = (
            scored[evaluate.gates_on],
            scored[evaluate.report_on],
        )
        flips, classes = count_flips(
            self.answers.get(evaluate.report_on, {}), (name, against), self.plan.data, evaluate.report_on
        )
        stage = recipe.stages.get(name)
        host, baseline = host_id(describe_host()), timings.get(recipe.baseline_name)
        remarks = target_remarks(made.artifact)
        speed = speed_of(timings[name], baseline, host, recipe.seed, remarks) if name in timings else None
        return ArtifactResult(
            **(speed.model_dump() if speed else _UNTIMED),
            name=name,
            parents=inputs_of(recipe, name).artifacts if stage else (),
            stage=stage.verb if stage else None,
            format=made.artifact.format,
            path=f"artifacts/{name}" if stage else None,
            digest=made.digest,
            size_mb=model_bytes(made.artifact.path) / 1e6,
            parameters=parameters(made.artifact),
            integer_operators=integer_operators(made.artifact),
            metrics=metrics,
            validation=validation,
            difference=difference,
            validation_difference=validation_difference,
            fallback=(made.artifact.details or {}).get("fallback"),
            flips=flips,
            classes=classes,
        )

    def _scores(self, name: str, against: str | None, split: Split) -> _Scores:
        """Metrics and differences of an artifact on a split; bootstrapped once."""
        answers = self.answers.get(split, {})
        if name not in answers:
            return {}, {}
        if (name, against, split) not in self.scored:
            data, metrics, seed = self.plan.data, self.plan.metrics, self.plan.recipe.seed
            compared = compare(answers, (name, against), data, metrics, split, seed)
            self.scored[name, against, split] = score(answers[name], data, metrics, split, seed), compared
        return self.scored[name, against, split]


_UNTIMED = {"host": "", "runtime": "", "threads": 0, "reliable": True, "throughput_per_s": 0.0}
