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


@dataclass(frozen=True)
class Flip:
    """One answer that is not the reference's.

    Attributes:
        row: the row's id in its split.
        verdict: what became of it.
        classes: the classes that it is about: what filters go by.
        label, before, after: what is true, what the reference says, what the artifact says.
        word: which word of the row, for answers to single words; from 0.
    """

    row: int
    verdict: Verdict
    classes: tuple[str, ...]
    label: str
    before: str
    after: str
    word: int | None = None


@dataclass(frozen=True)
class FlipCount:
    """How many answers of one class flipped."""

    lost: int = 0
    won: int = 0
    changed: int = 0


@dataclass(frozen=True)
class ArtifactFlips:
    """How the answers of one artifact differ from its reference's.

    Attributes:
        artifact, against: the two.
        answers: answers that both gave; `unit` says what one is.
        unit: `rows`, or `words`.
        total: over all classes.
        by_class: by the class that is true, in the order of the classes; empty where answers are no classes.
        listed: of the flips, as many as a page can hold; lost ones first.
    """

    artifact: str
    against: str
    answers: int
    unit: str
    total: FlipCount
    by_class: Mapping[str, FlipCount]
    listed: tuple[Flip, ...]


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
    """`examples.json`: rows whose answers flipped. Users' own data: it stays in the run folder.

    Attributes:
        schema_: the format's name and version.
        split: the role of their split.
        rows: row id -> what it holds.
    """

    schema_: Literal["hfcompress.examples/1"] = Field(default="hfcompress.examples/1", alias="schema")
    split: str
    rows: dict[int, Example] = Field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """Everything beside the results. What is not known is empty, and the report says nothing of it.

    Attributes:
        recipe: as it was run, YAML.
        trainings: of the stages that train, in the order of the recipe.
        samples: of the last timing session.
        flips: of the artifacts that are compared with another one.
        answers_are_private: whether answers are users' own words (question answering) and not classes.
        examples: the rows of the flips; None where they are not to be shown.
    """

    recipe: str = ""
    trainings: tuple[Training, ...] = ()
    samples: tuple[Samples, ...] = ()
    flips: tuple[ArtifactFlips, ...] = ()
    answers_are_private: bool = False
    examples: Examples | None = None

    def published(self, recipe: str, *, examples: bool) -> Evidence:
        """What may leave this machine: row ids, classes, counts; texts, images and answers of words with `examples`.

        Args:
            recipe: as it is published.
            examples: whether the user said that rows may be shown.
        """
        if examples:
            return replace(self, recipe=recipe)
        flips = tuple(replace(flips, listed=tuple(map(_silent, flips.listed))) for flips in self.flips)
        return replace(self, recipe=recipe, examples=None, flips=flips if self.answers_are_private else self.flips)


def _silent(flip: Flip) -> Flip:
    return replace(flip, label="", before="", after="")


#: Of results that came without a run folder.
NO_EVIDENCE = Evidence()


@dataclass(frozen=True)
class Reported:
    """One run, as a page shows it."""

    results: Results
    evidence: Evidence = field(default=NO_EVIDENCE)
