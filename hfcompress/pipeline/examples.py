"""Keeps single answers that flipped, and their rows, small enough for a page, in the run folder and nowhere else."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hfcompress.pipeline.flips import list_flips
from hfcompress.pipeline.folder import RunFolder
from hfcompress.pipeline.predictions import Predictions, read_predictions
from hfcompress.recipe.data import Split
from hfcompress.report.evidence import Example, Examples, Flip
from hfcompress.report.flips import compared
from hfcompress.results import Results
from hfcompress.tasks.data import Data

if TYPE_CHECKING:
    from PIL.Image import Image

#: Characters of one text, words of one row, and pixels of the longer side of a thumbnail.
_MOST_CHARACTERS, _MOST_WORDS, _PIXELS = 1500, 300, 96
#: Characters of all examples together: rows beyond are not kept, and the page shows their ids alone.
_BUDGET = 1_000_000
_TEXTS = ("text", "text_pair", "question", "context")


def keep_examples(folder: RunFolder, results: Results, data: Data, split: Split) -> None:
    """Write `examples.json` from the predictions on a split, whole or not at all; without flips there is none."""
    flips = _flips(folder, results, data, split)
    if not flips:
        folder.examples.unlink(missing_ok=True)
        return
    _write(folder, Examples(split=split, flips=flips, rows=dict(_rows(flips.values(), data, split))))


def _flips(folder: RunFolder, results: Results, data: Data, split: Split) -> dict[str, tuple[Flip, ...]]:
    """Artifact -> its flips against the reference that they are counted against."""
    pairs = {artifact.name: flips.against for artifact, flips in compared(results)}
    read = {name: read_predictions(folder.predictions(name, split)) for name in {*pairs, *pairs.values()}}
    answers: dict[str, Predictions] = {name: found for name, found in read.items() if found is not None}
    listed = {name: list_flips(answers, (name, against), data) for name, against in pairs.items()}
    return {name: flips for name, flips in listed.items() if flips}


def _rows(flips: Collection[Sequence[Flip]], data: Data, split: Split) -> Iterator[tuple[int, Example]]:
    """What the flipped rows hold, as many as there is room for."""
    rows = data.rows.splits[split]
    places = {int(row): place for place, row in enumerate(rows["row_id"])}
    left = _BUDGET
    for row in _by_turns([[flip.row for flip in listed] for listed in flips]):
        example = _example(rows[places[row]])
        left -= len(example.model_dump_json())
        if left < 0:
            return
        yield row, example


def _by_turns(listed: Sequence[Sequence[int]]) -> list[int]:
    """Each row once: of every artifact the first one, then the second one, and so on."""
    longest = max(map(len, listed), default=0)
    return list(dict.fromkeys(rows[place] for place in range(longest) for rows in listed if place < len(rows)))


def _example(row: Mapping[str, Any]) -> Example:
    return Example(
        texts={name: _shortened(row[name]) for name in _TEXTS if name in row},
        words=tuple(map(str, row.get("tokens", ())))[:_MOST_WORDS],
        image=_thumbnail(row["image"]) if "image" in row else None,
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _thumbnail(image: Image) -> str:
    """PNG or JPEG, whichever is smaller: drawings and photographs."""
    small = image.convert("RGB")
    small.thumbnail((_PIXELS, _PIXELS))
    kind, content = min(
        (("png", _encoded(small, "PNG")), ("jpeg", _encoded(small, "JPEG"))), key=lambda each: len(each[1])
    )
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _encoded(image: Image, kind: str) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, optimize=True)
    return content.getvalue()


def _write(folder: RunFolder, examples: Examples) -> None:
    temporary = folder.examples.with_name(f".{folder.examples.name}.tmp")
    temporary.write_text(examples.model_dump_json(by_alias=True), encoding="utf-8")
    os.replace(temporary, folder.examples)
