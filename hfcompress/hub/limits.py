"""What a reader should know before using a model: where it loses, and what the figures do not say. All from numbers."""

from __future__ import annotations

from collections.abc import Iterator

from hfcompress.hub.card_facts import CardFacts
from hfcompress.recipe.tasks import LESS_IS_BETTER
from hfcompress.report.figures import points, signed_metric, signed_points, unit_of
from hfcompress.report.grid import Cell, Column, Table, words
from hfcompress.results import ArtifactResult, ClassResult

#: Classes of one artifact that are shown, worst first.
_MOST_CLASSES = 12


def limitations(facts: CardFacts) -> tuple[str, ...]:
    """A sentence for each."""
    found = [sentence for artifact in facts.published for sentence in _of_artifact(facts, artifact)]
    return (*found, *_of_figures(facts))


def classes_table(facts: CardFacts) -> Table | None:
    """Recall by class of every published artifact that has a reference; None where there is nothing to compare."""
    rows = [
        _class_row(artifact, found)
        for artifact in facts.published
        for found in sorted(_compared(artifact), key=_change)[:_MOST_CLASSES]
    ]
    if not rows:
        return None
    left_out = [
        f"{artifact.name}: {hidden:,} further classes, which lose less, are in results.json"
        for artifact in facts.published
        if (hidden := len(_compared(artifact)) - _MOST_CLASSES) > 0
    ]
    counts = (Column("rows"), Column("recall of the reference"), Column("recall"), Column("change"))
    flips = (Column("right now"), Column("wrong now"))
    caption = (
        "Recall in points. Right now: decisions about the class that the reference gets wrong and the model right; "
        "wrong now: the reverse."
    )
    return Table("By class", (*words("model", "class"), *counts, *flips), tuple(rows), caption, tuple(left_out))


def _compared(artifact: ArtifactResult) -> list[ClassResult]:
    return [found for found in artifact.classes if found.reference_recall is not None]


def _change(found: ClassResult) -> float:
    return found.recall - (found.reference_recall or 0)


def _class_row(artifact: ArtifactResult, found: ClassResult) -> tuple[Cell, ...]:
    figures = (
        f"{found.rows:,}",
        points(found.reference_recall or 0),
        points(found.recall),
        signed_points(_change(found)),
        f"{found.won:,}",
        f"{found.lost:,}",
    )
    return Cell(artifact.name), Cell(found.label), *(Cell(text) for text in figures)


def _of_artifact(facts: CardFacts, artifact: ArtifactResult) -> Iterator[str]:
    flips, lost = artifact.flips, [found for found in _compared(artifact) if _change(found) < 0]
    if flips is not None and flips.answers:
        share = f"{flips.changed:,} of {flips.answers:,} ({100 * flips.changed / flips.answers:.1f}%)"
        yield (
            f"{artifact.name} answers {share} otherwise than {flips.against} on the {flips.split} split: "
            f"{flips.lost:,} right answers became wrong, {flips.won:,} wrong ones right."
        )
    if lost:
        worst = min(lost, key=_change)
        yield (
            f"{artifact.name} loses most on the class {worst.label}: recall {points(worst.recall)} in place of "
            f"{points(worst.reference_recall or 0)}, over {worst.rows:,} rows."
        )


def _not_ruled_out(facts: CardFacts) -> Iterator[str]:
    """How far down the intervals of differences reach, in one sentence a metric."""
    compared = [(artifact.name, artifact.difference) for artifact in facts.published]
    for metric in dict.fromkeys(metric for _, differences in compared for metric in differences):
        less = metric in LESS_IS_BETTER
        worst = [
            (name, found[metric].high if less else found[metric].low) for name, found in compared if metric in found
        ]
        losses = [
            f"{name} {signed_metric(metric, bound)}" for name, bound in worst if (bound > 0 if less else bound < 0)
        ]
        if losses:
            yield (
                f"The 95% intervals reach as far as these changes of {metric}{unit_of(metric)}, which the rows that "
                f"were measured cannot rule out: {', '.join(losses)}."
            )


def _of_figures(facts: CardFacts) -> Iterator[str]:
    yield from _not_ruled_out(facts)
    results, data = facts.results, facts.results.data
    if data is not None and _reads_text(facts):
        yield f"Text beyond {data.max_length} tokens was cut, in training and in every figure."
    if len(hosts := [host.get("cpu", name) for name, host in results.hosts.items()]) == 1:
        yield f"Speed was measured on one host alone ({hosts[0]}); on another CPU the ratios are others."
    if any(not artifact.reliable for artifact in facts.published):
        yield "Figures with a question mark come from repeats that lie too far apart to trust them."
    quantized = [facts.recipe.stages[artifact.name].quantize for artifact in facts.placed]
    if any(config is not None and config.calibration is None for config in quantized):
        yield (
            "Dynamic INT8 takes the ranges of activations from each batch, so that the outputs for a row depend a "
            "little on the rows beside it."
        )
    if any(artifact.manifest.details.get("target") == "avx512_vnni" for artifact in facts.placed):
        yield (
            "The INT8 graph is for CPUs with VNNI. One without it adds 8-bit products in 16 bits, which may saturate "
            "and change answers; hfcompress simulate says how far."
        )


def _reads_text(facts: CardFacts) -> bool:
    return facts.results.task != "image-classification"
