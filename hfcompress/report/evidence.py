"""What a report shows beside `results.json`: losses, single latencies, flipped answers, and the rows they are about.

Plain data. Whoever knows the run folder gathers it; whoever publishes takes the users' own words and images out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from pydantic import Field

from hfcompress.results import Record, Results

#: What became of an answer: right before and wrong now, wrong before and right now, wrong in another way.
Verdict: TypeAlias = Literal["lost", "won", "changed"]


@dataclass(frozen=True)
class Training:
    """The logged losses of one training stage.

    Attributes:
        artifact: the stage.
        losses: `loss`, its parts (`loss_kl`, ...) and `eval_loss`, each as (step, value) in order.
    """

    artifact: str
    losses: Mapping[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True)
class Samples:
    """Every timed call of one artifact at one cell of the latency grid, in milliseconds."""

    artifact: str
    batch: int
    sequence: int | None
    milliseconds: tuple[float, ...]


class Flip(Record):
    """One answer that is not the reference's.

    Attributes:
        row: the row's id in its split.
        word: which word of the row, for answers to single words; from 0.
        about: the class that the answer is about; null where answers are no classes but texts.
        verdict: what became of it.
        label, before, after: what is true, what the reference says, what the artifact says; of several classes a row
            a class or `not` that class. `label` is empty for texts.
    """

    row: int
    word: int | None = None
    about: str | None = None
    verdict: Verdict
    label: str
    before: str
    after: str


class Example(Record):
    """What one row holds, shortened to what a page can show.

    Attributes:
        texts: role -> text.
        words: the words of a row that is answered word by word.
        image: a thumbnail as a `data:` URI.
    """

    texts: dict[str, str] = Field(default_factory=dict)
    words: tuple[str, ...] = ()
    image: str | None = None


class Examples(Record):
    """`examples.json`: single answers that flipped, and their rows. Users' own data: it stays in the run folder.

    How many flipped, `results.json` says.

    Attributes:
        schema_: the format's name and version.
        split: the role of their split.
        flips: artifact -> its flips, as many as a page can hold; lost ones first.
        rows: row id -> what it holds.
    """

    schema_: Literal["hfcompress.examples/1"] = Field(default="hfcompress.examples/1", alias="schema")
    split: str
    flips: dict[str, tuple[Flip, ...]] = Field(default_factory=dict)
    rows: dict[int, Example] = Field(default_factory=dict)

    def without_rows(self) -> Examples:
        """Row ids, classes and verdicts: no row, and no answer in words of its own."""
        flips = {name: tuple(map(_silent, listed)) for name, listed in self.flips.items()}
        return self.model_copy(update={"flips": flips, "rows": {}})


def _silent(flip: Flip) -> Flip:
    """Names of classes are the model's; other words are those of users' texts."""
    return flip if flip.about is not None else flip.model_copy(update={"label": "", "before": "", "after": ""})


@dataclass(frozen=True)
class Evidence:
    """Everything beside the results. What is not known is empty, and the report says nothing of it.

    Attributes:
        recipe: as it was run, YAML.
        trainings: of the stages that train, in the order of the recipe.
        samples: of the last timing session.
        examples: single flips and their rows.
    """

    recipe: str = ""
    trainings: tuple[Training, ...] = ()
    samples: tuple[Samples, ...] = ()
    examples: Examples | None = None

    def published(self, recipe: str, *, examples: bool) -> Evidence:
        """What may leave this machine: row ids and classes; texts, images and answers in words with `examples`.

        Args:
            recipe: as it is published.
            examples: whether the user said that rows may be shown.
        """
        kept = self.examples if examples or self.examples is None else self.examples.without_rows()
        return replace(self, recipe=recipe, examples=kept)


#: Of results that came without a run folder.
NO_EVIDENCE = Evidence()


@dataclass(frozen=True)
class Reported:
    """One run, as a page shows it."""

    results: Results
    evidence: Evidence = field(default=NO_EVIDENCE)
