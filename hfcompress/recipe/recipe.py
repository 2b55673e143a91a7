"""A whole recipe."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt

from hfcompress.recipe.data import BenchmarkConfig, DataConfig, EvaluateConfig, Gate
from hfcompress.recipe.publish import PublishConfig
from hfcompress.recipe.schema import ModelSource, Name, Schema
from hfcompress.recipe.stages import Stage
from hfcompress.recipe.tasks import TASKS, Metric, TaskName
from hfcompress.recipe.verb import Format

#: What the recipe's `model` is called as an artifact.
SOURCE = "source"
#: A folder or Hub id of Transformers.
SOURCE_FORMAT: Format = "torch"


class Recipe(Schema):
    """What to do, as data.

    Attributes:
        name: names the run folder.
        task: what the model does.
        model: what the first stage starts from; as an artifact it is called `source`.
        data: rows for training and measuring.
        evaluate: metrics and the splits they are read on.
        baseline: the artifact that speed-ups are measured against; default: `source` when no stage fine-tunes it,
            the first fine-tuned stage otherwise.
        seed: seeds everything that draws.
        stages: name to stage, in the order of the recipe.
        benchmark: what is timed.
        gates: what must hold.
        publish: where the run is published; None: nowhere.
    """

    name: Name
    task: TaskName
    model: ModelSource
    data: DataConfig
    evaluate: EvaluateConfig = EvaluateConfig()
    baseline: str | None = None
    seed: Annotated[NonNegativeInt, Field(lt=2**32)] = 0
    stages: dict[Name, Stage] = Field(min_length=1)
    benchmark: BenchmarkConfig = BenchmarkConfig()
    gates: tuple[Gate, ...] = ()
    publish: PublishConfig | None = None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that are scored, the main one first."""
        return self.evaluate.metrics or TASKS[self.task].metrics[:1]

    @property
    def baseline_name(self) -> str:
        """The artifact that speed-ups are measured against."""
        if self.baseline is not None:
            return self.baseline
        return next((name for name, stage in self.stages.items() if stage.finetune is not None), SOURCE)

    def source_of(self, name: str) -> str:
        """The artifact that stage `name` transforms: its `from`, or the stage before it."""
        stage = self.stages[name]
        if stage.from_ is not None:
            return stage.from_
        names = [SOURCE, *self.stages]
        return names[names.index(name) - 1]

    def column(self, role: str) -> str:
        """The dataset's column for a role of the task."""
        return self.data.columns.get(role, role)
